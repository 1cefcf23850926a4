"""python device.py MODEL BATCH: a device as engine=command sees it.

It runs the model in a process of its own and prints the milliseconds of its fastest run.
"""

import sys
import time

import numpy as np
import openvino

options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
model = openvino.compile_model(f"{sys.argv[1]}/inference.pdmodel", "CPU", options)
images = np.zeros((int(sys.argv[2]), 1, 14, 14), "float32")
times = []
for _ in range(6):
    began = time.perf_counter()
    model(images)
    times.append((time.perf_counter() - began) * 1e3)
print("on the device")
print(min(times[1:]))
