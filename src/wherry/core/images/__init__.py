"""Images: names for content.

An image is a name of a tenant and the descriptor it points to, a manifest or an index.  The
name is all there is: the content has its own store, and what no image refers to is garbage.
"""

from wherry.core.images.store import Image, ImageExists, ImageNotFound, ImageStore

__all__ = ["Image", "ImageExists", "ImageNotFound", "ImageStore"]
