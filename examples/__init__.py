"""Delivered models, loaded and run. Paddle logs errors only."""

import os
import warnings

os.environ.setdefault("GLOG_minloglevel", "2")
warnings.filterwarnings("ignore", message="No ccache found")
