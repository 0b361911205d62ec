"""What becomes of the gateway's records: counted, written to a file for each service, told to whoever follows, traced.

`Recorder.take` is called in the gateway's thread; everything else of it may be called from the daemon's loop.
"""

from orchestrator.records.files import AccessFiles
from orchestrator.records.recorder import Recorder
from orchestrator.records.tally import Fresh, Tally, Totals

__all__ = ["AccessFiles", "Fresh", "Recorder", "Tally", "Totals"]
