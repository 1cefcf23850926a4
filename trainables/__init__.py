"""What happens to one model on one device: prune, train, quantize, export, time.

Importing this package is cheap: paddle is loaded by the modules that use it, on
the workers that run them.
"""

import os
import warnings

# PaddleSlim traces old-IR static graphs, and paddle reads this flag once, when it
# is first imported. Every module that imports paddle lies below this package, so
# this line always comes first.
os.environ.setdefault("FLAGS_enable_pir_api", "0")
# Paddle says nothing below an error, and nothing about compilers that it would like to find.
os.environ.setdefault("GLOG_minloglevel", "2")
warnings.filterwarnings("ignore", message="No ccache found")
