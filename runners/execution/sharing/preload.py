"""What the process imports that workers are forked from: all they need, so that these seconds are spent once a team."""

import gc
import importlib

# The last two are imported by torch's optimisers and by the first evaluation.
NEEDED = ("headbench.runners.execution.workers", "torch._dynamo", "relplot")

# As Python's documentation of gc advises before a fork. Nothing of an import is garbage, so collections, in the workers
# and at this process's end too, would find nothing and cost half a second each.
gc.disable()
for module in NEEDED:
    importlib.import_module(module)
gc.freeze()
gc.enable()
