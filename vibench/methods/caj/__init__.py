"""CAJ: AGW trained jointly on colour and channel-exchanged images, with an enhanced squared difference."""

from vibench.methods.caj.method import CAJ, CAJOptions

__all__ = ["CAJ", "CAJOptions"]
