"""Which layers are INT8 and which stay in floating point, found by what each costs in accuracy."""

from trtforge.assignment.assignment import Assignment
from trtforge.assignment.budget import AccuracyBudget
from trtforge.assignment.choose import Frontier, Point, choose_assignment
from trtforge.assignment.groups import GroupBy, LayerGroup, find_groups
from trtforge.assignment.journal import Journal
from trtforge.assignment.score import Score, StratumScore
from trtforge.assignment.scorer import ScoringTask, make_scorer
from trtforge.assignment.sensitivity import Sensitivity, rank
from trtforge.assignment.times import ChoiceTime, TimeChoice, time_frontier

__all__ = [
    "AccuracyBudget",
    "Assignment",
    "ChoiceTime",
    "Frontier",
    "GroupBy",
    "Journal",
    "LayerGroup",
    "Point",
    "Score",
    "ScoringTask",
    "Sensitivity",
    "StratumScore",
    "TimeChoice",
    "choose_assignment",
    "find_groups",
    "make_scorer",
    "rank",
    "time_frontier",
]
