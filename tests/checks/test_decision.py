import math

import numpy as np
import pytest

from trtforge.checks import CheckConfig, judge_snr, judge_speed, judge_words
from trtforge.checks.decision import decide
from trtforge.checks.result import describe
from trtforge.errors import ConfigError, InputError

CONFIG = CheckConfig()


def words_of(now, then=None, words=10, config=CONFIG):
    now = np.asarray(now)
    return judge_words(np.zeros_like(now) if then is None else then, now, np.full(now.size, words), config)


def test_worse_comes_before_within():
    assert decide(0.001, 0.001, false_alarm_rate=0.01, miss_rate=0.01) == "fail"
    assert decide(0.5, 0.001, false_alarm_rate=0.01, miss_rate=0.01) == "pass"
    assert decide(0.5, 0.5, false_alarm_rate=0.01, miss_rate=0.01) == "undecided"


def test_six_new_errors_may_be_chance_and_seven_are_not():
    # 2^-6 = 0.0156 is above the false-alarm rate of 0.01, 2^-7 = 0.0078 below
    six, seven = (words_of([1] * count + [0] * 93) for count in (6, 7))
    assert (six.verdict, six.p_worse) == ("undecided", 2**-6)
    assert (seven.verdict, seven.p_worse) == ("fail", 2**-7)
    assert seven.change == 7 / 1000


def test_as_many_errors_gained_as_lost_are_no_worse():
    found = words_of([2, 0] * 150, then=[1, 1] * 150)
    assert found.change == 0
    assert found.p_worse > 0.4


def test_no_change_passes_only_where_a_change_would_have_shown():
    # With nothing changed z = sqrt(0.005 * words / 2): 2.326 is reached at 2165 words
    enough, too_few = (words_of([0] * count) for count in (217, 216))
    assert (enough.verdict, too_few.verdict) == ("pass", "undecided")
    assert enough.p_within == pytest.approx(0.5 * math.erfc(math.sqrt(0.005 * 2170 / 4)))
    assert too_few.num_needed == 217


def test_errors_that_come_one_by_one_take_fewer_clips_and_those_that_come_in_clumps_more():
    singly = CheckConfig(errors_per_clip=1)
    assert words_of([0] * 109, config=singly).verdict == "pass"
    assert words_of([0] * 108, config=singly).num_needed == 109
    # One clip that lost ten words says how they come here.
    assert words_of([10] + [0] * 399).num_needed > 2 * 217


def test_what_was_mended_is_no_doubt():
    # One clip of sixty errors was mended, and one error was added elsewhere.
    then = [60, 0] + [0] * 398
    found = words_of([0, 1] + [0] * 398, then=then)
    assert found.verdict == "pass"
    assert found.num_needed < 400


def test_one_clip_is_no_evidence():
    found = judge_words([0], [30], [10_000], CONFIG)
    assert (found.verdict, found.p_within, found.num_needed) == ("undecided", 0.5, 7)


def test_many_quantities_can_still_fail_and_few_clips_say_how_many_it_takes():
    # 128 outputs share out 1 %: 10,000 draws could not show so rare an event, 128,000 can
    share = 0.01 / 128
    lost = judge_snr([40.0] * 50, [0.0] * 50, CONFIG, false_alarm_rate=share)
    assert (lost.verdict, lost.p_worse) == ("fail", pytest.approx(1 / 128_001))
    few = judge_snr([40.0] * 9, [0.0] * 9, CONFIG, false_alarm_rate=0.01 / 6)
    assert (few.verdict, few.num_needed) == ("undecided", 10)


def test_churn_asks_for_more_clips():
    calm = words_of([0] * 200)
    busy = words_of([2, 0] * 100, then=[1, 1] * 100)
    assert busy.num_needed > 10 * calm.num_needed
    assert busy.verdict == "undecided"


def test_a_budget_is_allowed_and_no_more():
    config = CheckConfig(wer_budget=0.02, wer_resolution=0.02)
    generator = np.random.default_rng(0)
    little = generator.random(1000) < 0.1  # one point
    much = generator.random(1000) < 0.4  # four points
    assert words_of(little, config=config).verdict == "pass"
    assert words_of(much, config=config).verdict == "fail"


def test_an_increase_at_the_budget_is_a_false_alarm_no_more_often_than_stated():
    config = CheckConfig(wer_budget=0.01, wer_resolution=0.01)
    generator = np.random.default_rng(1)
    verdicts = [words_of(generator.random(300) < 0.1, config=config).verdict for _ in range(300)]
    # at the budget itself: 1 % are expected at most, 8 of 300 are three standard errors above
    assert verdicts.count("fail") <= 8


def test_an_increase_that_must_be_noticed_passes_no_more_often_than_stated():
    generator = np.random.default_rng(2)
    verdicts = [words_of(generator.random(300) < 0.05).verdict for _ in range(300)]
    assert verdicts.count("pass") <= 8


@pytest.mark.parametrize(("clump", "churn"), [(1, 0.1), (2, 0.0), (2, 0.3), (3, 0.02)])
def test_an_increase_that_comes_in_clumps_passes_no_more_often_than_stated(clump, churn):
    generator, verdicts = np.random.default_rng(3), []
    for _ in range(400):
        hits = generator.integers(0, 400, generator.poisson(0.005 * 4000 / clump))
        noise = generator.random(400)
        now = clump * np.bincount(hits, minlength=400) + 1 + 1 * (noise < churn / 2) - (noise > 1 - churn / 2)
        verdicts.append(words_of(now, then=np.ones(400)).verdict)
    # 1 % are expected at most, 10 of 400 are three standard errors above
    assert verdicts.count("pass") <= 10


def test_a_few_words_are_not_judged_by_their_absence():
    with pytest.raises(InputError, match="the references hold no words"):
        judge_words([0], [1], [0], CONFIG)
    with pytest.raises(InputError, match=r"one value for each clip, then and now, got shapes \[2\], \[1\]"):
        judge_words([0, 0], [1], [5, 5], CONFIG)


def test_snr_by_hand():
    then = np.full(20, 25.0)
    assert judge_snr(then, then, CONFIG).verdict == "pass"
    lost = judge_snr(then, then - 3, CONFIG, name="SNR of logits")
    assert (lost.verdict, lost.name, lost.change, lost.candidate) == ("fail", "SNR of logits", 3.0, 22.0)
    # six clips of one sign: 2^-6 is not below 0.01
    few = judge_snr(then[:6], then[:6] - 3, CONFIG)
    assert (few.verdict, few.p_worse, few.num_needed) == ("undecided", 2**-6, 7)
    assert judge_snr(then, then - 1.5, CONFIG).verdict == "fail"
    assert judge_snr(then, then - 0.5, CONFIG).verdict == "pass"


def test_speed_by_hand():
    then = 0.5 * (1 + 0.001 * np.arange(8))
    found = judge_speed(then, then * 1.1, CONFIG)
    # every ratio of now, less what is allowed, is above every one of then: U = 64, and 32 are expected
    z = (64 - 32 - 0.5) / math.sqrt(64 * 17 / 12)
    assert found.p_worse == pytest.approx(0.5 * math.erfc(z / math.sqrt(2)))
    assert (found.verdict, found.change) == ("fail", pytest.approx(0.1))
    assert judge_speed(then, then, CONFIG).verdict == "pass"
    assert judge_speed(then, then * 1.025, CONFIG).verdict == "fail"
    noisy = 0.5 * np.exp(np.random.default_rng(0).normal(0, 0.2, (2, 30)))
    assert judge_speed(*noisy, CONFIG).verdict == "undecided"


def test_a_disturbed_round_does_not_decide():
    then = 0.5 * (1 + 0.001 * np.arange(30))
    now = then.copy()
    now[:3] *= 40
    assert judge_speed(then, now, CONFIG).verdict == "pass"


def test_equal_ratios_are_no_evidence_and_few_are_refused():
    assert judge_speed([1] * 8, [1.02] * 8, CONFIG).p_worse == 1.0
    with pytest.raises(InputError, match="8 or more positive ratios on each side, got 7"):
        judge_speed([1] * 8, [1] * 7, CONFIG)
    with pytest.raises(InputError, match="positive ratios"):
        judge_speed([1] * 8, [0] * 8, CONFIG)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wer_budget": -0.1}, "wer_budget must be 0 or more, got -0.1"),
        ({"snr_resolution_db": 0}, "snr_resolution_db must be above 0, got 0: no number of clips"),
        ({"miss_rate": 0.5}, "miss_rate must lie between 0.0001 and 0.5, got 0.5"),
        ({"false_alarm_rate": 9e-5}, "false_alarm_rate must lie between 0.0001 and 0.5, got 9e-05"),
        (
            {"errors_per_clip": 0.5},
            "errors_per_clip must be 1 or more, got 0.5",
        ),
        ({"seed": -1}, "seed must be a whole number of 0 or more, got -1"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ConfigError, match=message):
        CheckConfig(**settings)


def test_so_few_clips_that_their_spread_is_chance_never_pass():
    # Noise of tens of words in three clips lies alike by chance more often than one time in a hundred.
    then, now = [60, 55, 40], [20, 15, 0]
    found = judge_words(then, now, [100] * 3, CONFIG)
    assert (found.verdict, found.p_within, found.num_needed) == ("undecided", 0.5, 7)
    generator = np.random.default_rng(6)
    verdicts = [
        judge_words(generator.poisson(20, 4), generator.poisson(20, 4) + 1, [100] * 4, CONFIG).verdict
        for _ in range(300)
    ]
    assert verdicts == ["undecided"] * 300


def test_runs_that_cannot_be_rare_enough_say_how_many_would_be():
    # 8 against 8 reach p = 0.0005 at best, and 30 quantities share 1 %
    then = 1 + 0.001 * np.arange(8)
    found = judge_speed(then, then * 2, CONFIG, false_alarm_rate=0.01 / 30)
    assert (found.verdict, found.num_needed) == ("undecided", 9)
    assert found.p_worse == pytest.approx(0.00047, abs=1e-5)
    assert "an unchanged one needs about 9" in describe(found)
    nine = 1 + 0.001 * np.arange(9)
    assert judge_speed(nine, nine * 2, CONFIG, false_alarm_rate=0.01 / 30).verdict == "fail"
    assert judge_speed(then, then * 2, CONFIG).num_needed == 8
