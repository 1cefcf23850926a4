"""Any exported model, without its code: `--task exported`. Labels may be given.

task.py            the task; options.py: its options; original.py: the original on its engine
program.py         the exported model as data; stored_weights.py reads its weights
new_format.py      that of Paddle 3's inference.json; new_operators.py: what its operators are
network.py         the model rebuilt from ordinary layers; building.py: how an operator becomes one
weighted.py        operators with weights; shapes.py: reshapes that follow their input
elementwise.py     layout.py maps.py: the other operators
rewriting.py       biases in their layers, filters as they are used
windows.py         filters that are larger than their map
outputs.py         what outputs are; fidelity.py: how they are judged; imitation.py: the loss
samples.py         images and tensors; preprocessing.py: from image to input
labels.py          labels of images, and their metric; dictionary.py: a recogniser's characters
"""
