"""Pose: body keypoints as a second task, whose features gate the re-ID branch."""

from vibench.methods.pose.method import Pose, PoseOptions

__all__ = ["Pose", "PoseOptions"]
