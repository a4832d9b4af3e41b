"""What an app embeds: numpy, OpenCV and one engine."""
