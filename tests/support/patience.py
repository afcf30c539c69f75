"""How long tests wait. Machines are busy with other work, too: what takes a moment on an idle one may take long here.

Wait for an event, never for a time; these only bound the wait.
"""

from __future__ import annotations

#: Seconds within which whatever must come has come. It ends a test that hangs, and claims nothing about speed.
PATIENCE = 180.0
#: Seconds of a deadline that one client has to miss, waited out by the test, and that the others have to meet.
DEADLINE = 2.0
