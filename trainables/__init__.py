"""What happens to one model on one device: prune, train, quantize, export, time.

Importing this package does not import paddle: only the modules that use it do, on workers.
"""

import os
import warnings

# PaddleSlim traces old-IR static graphs, and paddle reads this flag once, at its first import. All
# modules that import paddle are in this package, so this line runs first.
os.environ.setdefault("FLAGS_enable_pir_api", "0")
# Paddle logs errors only, and no warning about missing compilers.
os.environ.setdefault("GLOG_minloglevel", "2")
warnings.filterwarnings("ignore", message="No ccache found")
