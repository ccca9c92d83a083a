"""lsfa: find defects on industrial parts from an RGB image and a 3D scan, having seen only good parts."""

__version__ = "0.1.0"
