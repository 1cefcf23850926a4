"""Every configuration file of the toolkits, tried: `make configs CHECKOUTS=FOLDER`."""
