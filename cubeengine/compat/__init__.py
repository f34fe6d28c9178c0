"""The original's session for notebooks that exist: change the import, and they run.

``from cubeengine.compat import SmallDataAna`` in the place of
``from smalldata_tools.SmallDataAna import SmallDataAna``. `docs/smalldataana.md` tells what is different.
"""

from cubeengine.compat.ana import SmallDataAna
from cubeengine.compat.differences import DIFFERENCES, SmallDataAnaWarning

__all__ = ["DIFFERENCES", "SmallDataAna", "SmallDataAnaWarning"]
