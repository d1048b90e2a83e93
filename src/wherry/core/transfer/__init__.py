"""Transfer: images between registries, archives and the stores.

    pull   registry ──► content ──► snapshots ──► name
    load   archive  ──► content ──► snapshots ──► name
    import tar      ──► content ──► snapshots ──► name
    push   content ──► registry          save   content ──► archive

Every way in works alike: a lease keeps what arrives, blobs stream into verified ingests, layers
are unpacked, and one last write names the image.  Killed anywhere before that write, it leaves
nothing but unnamed content, which garbage collection removes and the next try finds again.
"""

from wherry.core.transfer.import_image import import_image
from wherry.core.transfer.load import LoadedImage, load
from wherry.core.transfer.progress import Progress
from wherry.core.transfer.pull import pull, remote_tags
from wherry.core.transfer.push import push
from wherry.core.transfer.reading import read_image
from wherry.core.transfer.save import save
from wherry.core.transfer.services import TransferServices

__all__ = [
    "LoadedImage",
    "Progress",
    "TransferServices",
    "import_image",
    "load",
    "pull",
    "push",
    "read_image",
    "remote_tags",
    "save",
]
