"""The producer of two programs. It sets the result to what you type:

python docs/examples/produce.py future.pickle
"""

import pickle
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

from proxyfuture import ProxyFuture

future: ProxyFuture[str] = pickle.loads(Path(sys.argv[1]).read_bytes())

# Should you press Ctrl-C instead, the consumer gets this exception.
with future:
    future.set_result(input("Your text: "))
