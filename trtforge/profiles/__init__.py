"""Optimization profiles: the ranges of input shapes that an engine is tuned for and accepts."""

from trtforge.profiles.planner import plan_profiles
from trtforge.profiles.shapes import OptimizationProfile, ShapeRange, choose_profile

__all__ = ["OptimizationProfile", "ShapeRange", "choose_profile", "plan_profiles"]
