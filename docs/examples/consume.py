"""The consumer of two programs. Start it before or after the producer, and as often as you like:

python docs/examples/consume.py future.pickle
"""

import pickle
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the modules, in a clone of the project

from proxyfuture import ProxyFuture

future: ProxyFuture[str] = pickle.loads(Path(sys.argv[1]).read_bytes())
text = future.proxy()

print("I have a text. I do not know it yet.", flush=True)
print(f"{text.upper()} has {len(text)} characters.")
