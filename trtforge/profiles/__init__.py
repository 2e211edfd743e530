"""Optimization profiles: the ranges of input shapes that an engine is tuned for and accepts."""

from trtforge.profiles.costs import AffineCost, CostModel, MeasuredCost
from trtforge.profiles.plan import Bucket, Coverage, ProfilePlan, WastePoint
from trtforge.profiles.planner import buckets_for, plan_buckets, plan_profiles
from trtforge.profiles.shapes import OptimizationProfile, ShapeRange, choose_profile, triples
from trtforge.profiles.symbols import profile_from_axes
from trtforge.profiles.workload import Workload

__all__ = [
    "AffineCost",
    "Bucket",
    "CostModel",
    "Coverage",
    "MeasuredCost",
    "OptimizationProfile",
    "ProfilePlan",
    "ShapeRange",
    "WastePoint",
    "Workload",
    "buckets_for",
    "choose_profile",
    "plan_buckets",
    "plan_profiles",
    "profile_from_axes",
    "triples",
]
