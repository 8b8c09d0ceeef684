"""Image, sound and video files, decoded as far as they are wanted."""
