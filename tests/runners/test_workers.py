"""What the parent hears from its workers."""

import multiprocessing
import os
import struct
from typing import Any, cast

from runners import workers


def test_a_worker_that_is_killed_in_the_middle_of_a_message_has_ended() -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    os.write(sender.fileno(), struct.pack("!i", 1000) + b"half a message")
    sender.close()
    worker = workers._Worker(cast(Any, None), receiver)
    assert not workers._listen(worker, {}, cast(Any, None))
    assert not worker.ended
