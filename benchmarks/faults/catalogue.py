"""What may go wrong: each fault as statements that corrupt the tables of a clean experiment.

`pick(column, share)` stands for a share of users or rows, chosen by a hash of their key and the seed; see `chance`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One corruption. `why` says what stands against catching it, where something does."""

    name: str
    what: str
    statements: tuple[str, ...]
    experiment: str = "plain"
    why: str = ""


def chance(statement: str, seed: int) -> str:
    """`pick(column, share)` becomes a condition that holds for that share of the values of the column."""
    return re.sub(
        r"pick\((\w+), ([\d.]+)\)",
        lambda found: f"hash(concat({found[1]}, ':', {seed})) % 1000000 < {round(float(found[2]) * 1_000_000)}",
        statement,
    )


TREATED = "arm = 'treatment'"
OF_TREATED = "user_id IN (SELECT user_id FROM assignments WHERE arm = 'treatment')"
AFTER = "ordered_at >= (SELECT MIN(seen_at) FROM assignments AS own WHERE own.user_id = orders.user_id)"
EFFECT = "looks like an effect of the treatment: nothing in the data says that it is none"

FAULTS = (
    # exposures
    Fault("lost_2pct", "2% of the treated users are not logged", (f"DELETE FROM assignments WHERE {TREATED} AND pick(user_id, 0.02)",), why="few are lost: a sample ratio needs many users to show it"),
    Fault("lost_5pct", "5% of the treated users are not logged", (f"DELETE FROM assignments WHERE {TREATED} AND pick(user_id, 0.05)",)),
    Fault("lost_inactive", "treated users without a visit before are not logged in 1 case of 5", (f"DELETE FROM assignments WHERE {TREATED} AND pick(user_id, 0.2) AND user_id NOT IN (SELECT user_id FROM visits JOIN assignments USING (user_id) WHERE visited_at < seen_at)",)),
    Fault("lost_day", "the treated users of one day are not logged", (f"DELETE FROM assignments WHERE {TREATED} AND seen_at::DATE = DATE '2026-03-11'",)),
    Fault("lost_platform", "1 in 5 treated users of the app is not logged", (f"DELETE FROM assignments WHERE {TREATED} AND platform = 'app' AND pick(user_id, 0.2)",)),
    Fault("bots", "bots, 3% of the users, come in one arm and buy nothing", ("INSERT INTO assignments SELECT 'bot' || i, 'test', 'treatment', TIMESTAMP '2026-03-02' + INTERVAL 1 MINUTE * (i % 40000), 'web' FROM range((SELECT COUNT(*) * 3 // 100 FROM users)) AS r(i)",)),
    Fault("busy_bot", "one bot in the treatment visits as often as a third of its users together", ("INSERT INTO visits SELECT (SELECT MIN(user_id) FROM assignments WHERE arm = 'treatment'), (SELECT MIN(seen_at) FROM assignments WHERE user_id = (SELECT MIN(user_id) FROM assignments WHERE arm = 'treatment')) + INTERVAL 1 SECOND * (i % 500000), 'shop' FROM range((SELECT COUNT(*) // 3 FROM users)) AS r(i)",)),
    Fault("arm_renamed", "the treatment gets another key after two weeks", (f"UPDATE assignments SET arm = 'treatment_v2' WHERE {TREATED} AND seen_at >= TIMESTAMP '2026-03-16'",)),
    Fault("arm_spelled", "a client writes the arm in capitals: 1 treated user in 50", (f"UPDATE assignments SET arm = 'TREATMENT' WHERE {TREATED} AND pick(user_id, 0.02)",)),
    Fault("allocation_changed", "60% are treated from the third week on, and the protocol has no ramp", ("UPDATE assignments SET arm = 'treatment' WHERE seen_at >= TIMESTAMP '2026-03-16' AND arm = 'control' AND pick(user_id, 0.2)",)),
    Fault("allocation_wrong", "52% are treated from the start", ("UPDATE assignments SET arm = 'treatment' WHERE arm = 'control' AND pick(user_id, 0.04)",)),
    Fault("allocation_waves", "58% are treated in one week and 42% in the next", ("UPDATE assignments SET arm = 'treatment' WHERE arm = 'control' AND week(seen_at) % 2 = 0 AND pick(user_id, 0.16)", "UPDATE assignments SET arm = 'control' WHERE arm = 'treatment' AND week(seen_at) % 2 = 1 AND pick(user_id, 0.16)")),
    Fault("ramp_missed", "the ramp was delayed by four days", ("UPDATE assignments SET arm = 'control' WHERE arm = 'treatment' AND seen_at >= TIMESTAMP '2026-03-16' AND seen_at < TIMESTAMP '2026-03-20' AND pick(user_id, 0.8)",), "ramped"),
    Fault("flips", "3% of the users change arms", ("INSERT INTO assignments SELECT user_id, experiment, CASE arm WHEN 'control' THEN 'treatment' ELSE 'control' END, seen_at + INTERVAL 1 HOUR, platform FROM assignments WHERE pick(user_id, 0.03)",)),
    Fault("flips_one_way", "0.8% of the control change to the treatment", ("INSERT INTO assignments SELECT user_id, experiment, 'treatment', seen_at + INTERVAL 1 HOUR, platform FROM assignments WHERE arm = 'control' AND pick(user_id, 0.008)",)),
    Fault("not_sticky", "who is seen again is assigned anew", ("UPDATE assignments SET arm = CASE WHEN hash(concat(user_id, seen_at)) % 2 = 0 THEN 'control' ELSE 'treatment' END WHERE user_id IN (SELECT user_id FROM assignments GROUP BY user_id HAVING COUNT(*) > 1)",)),
    Fault("repeated_in_one_arm", "the treatment logs 1 exposure in 5 twice", (f"INSERT INTO assignments SELECT user_id, experiment, arm, seen_at + INTERVAL 1 SECOND, platform FROM assignments WHERE {TREATED} AND pick(user_id, 0.2)",)),
    Fault("holdout_leaks", "5 users get an arm that has no share", ("UPDATE assignments SET arm = 'holdout' WHERE user_id IN (SELECT user_id FROM users ORDER BY user_id LIMIT 5)",), "with_holdout"),
    Fault("no_user", "1% of the exposures have no user", ("UPDATE assignments SET user_id = NULL WHERE pick(user_id, 0.01)",)),
    Fault("no_time", "1% of the exposures have no time", ("UPDATE assignments SET seen_at = NULL WHERE pick(user_id, 0.01)",)),
    Fault("exposure_clock_early", "the clock of the treatment's exposures is 8 hours behind", (f"UPDATE assignments SET seen_at = seen_at - INTERVAL 8 HOUR WHERE {TREATED}",)),
    Fault("exposure_clock_late", "the clock of the treatment's exposures is 8 hours ahead", (f"UPDATE assignments SET seen_at = seen_at + INTERVAL 8 HOUR WHERE {TREATED}",)),
    Fault("trigger_in_one_arm", "the treatment logs the trigger in 3 more visits of 10", (f"UPDATE visits SET page = 'checkout' WHERE page = 'shop' AND {OF_TREATED} AND hash(concat(user_id, visited_at)) % 10 < 3",), "triggered"),
    Fault("trigger_lost", "1 in 10 triggers of the treatment is lost", (f"UPDATE visits SET page = 'shop' WHERE page = 'checkout' AND {OF_TREATED} AND hash(concat(user_id, visited_at)) % 10 < 1",), "triggered", why="a lost trigger is made up for by the user's next one"),
    # facts
    Fault("orders_twice", "1 order in 50 is loaded twice", ("INSERT INTO orders SELECT * FROM orders WHERE pick(order_id, 0.02)",)),
    Fault("orders_twice_in_one_arm", "1 order of the treatment in 20 is loaded twice", (f"INSERT INTO orders SELECT * FROM orders WHERE {OF_TREATED} AND pick(order_id, 0.05)",)),
    Fault("orders_day_missing", "a day of orders is missing", ("DELETE FROM orders WHERE ordered_at::DATE = DATE '2026-03-18'",)),
    Fault("orders_lost_in_one_arm", "1 order of the treatment in 20 is lost", (f"DELETE FROM orders WHERE {OF_TREATED} AND {AFTER} AND pick(order_id, 0.05)",), why=EFFECT),
    Fault("orders_dead_in_one_arm", "no order of the treatment is logged", (f"DELETE FROM orders WHERE {OF_TREATED}",)),
    Fault("status_in_one_arm", "the treatment writes `Paid`, which the filter does not match", (f"UPDATE orders SET status = 'Paid' WHERE status = 'paid' AND {OF_TREATED} AND pick(order_id, 0.1)",)),
    Fault("orders_without_user", "1 order in 20 has no user", ("UPDATE orders SET user_id = NULL WHERE pick(order_id, 0.05)",)),
    Fault("orders_without_amount", "1 order of the treatment in 20 has no amount", (f"UPDATE orders SET amount = NULL WHERE {OF_TREATED} AND pick(order_id, 0.05)",)),
    Fault("orders_late", "1 order in 10 arrives four days late", ("UPDATE orders SET loaded_at = ordered_at + INTERVAL 4 DAY WHERE pick(order_id, 0.1)",)),
    Fault("orders_stale", "orders of the last three days have not come", ("DELETE FROM orders WHERE ordered_at >= TIMESTAMP '2026-04-03'",)),
    Fault("visits_half_loaded", "7 visits in 10 of the last day have not come", ("DELETE FROM visits WHERE visited_at >= TIMESTAMP '2026-04-05' AND hash(concat(user_id, visited_at)) % 10 < 7",), why="at the end few users are in their window: the day has too few rows to tell"),
    Fault("orders_clock_in_one_arm", "the clock of the treatment's orders is 8 hours ahead", (f"UPDATE orders SET ordered_at = ordered_at + INTERVAL 8 HOUR, loaded_at = loaded_at + INTERVAL 8 HOUR WHERE {OF_TREATED}",), why="a third of a day of fourteen moves into the window, and as much out of it"),
    Fault("one_whale", "one treated user buys for half of all the others' revenue", ("INSERT INTO orders SELECT 'whale', user_id, seen_at + INTERVAL 1 HOUR, (SELECT SUM(amount) / 4 FROM orders), 'paid', seen_at + INTERVAL 2 HOUR FROM assignments WHERE arm = 'treatment' ORDER BY user_id, seen_at LIMIT 1",)),
    Fault("cents_in_one_arm", "1 order of the treatment in 100 has its amount in cents", (f"UPDATE orders SET amount = amount * 100 WHERE {OF_TREATED} AND {AFTER} AND pick(order_id, 0.01)",), why=EFFECT + "; a cap bounds what it does"),
    # before treatment
    Fault("leaking_covariate", "the score was taken after the treatment had moved it by a tenth of its spread", (f"UPDATE users SET score = score + 0.14 WHERE {OF_TREATED}",)),
    Fault("carry_over", "an earlier experiment had given the treated 1 order in 5 more", (f"INSERT INTO orders SELECT 'more' || order_id, orders.user_id, ordered_at, amount, status, loaded_at FROM orders WHERE {OF_TREATED} AND pick(order_id, 0.2)",)),
    Fault("heavy_users_treated", "of the users with orders before, 1 control in 10 is treated after all", ("UPDATE assignments SET arm = 'treatment' WHERE arm = 'control' AND pick(user_id, 0.1) AND user_id IN (SELECT user_id FROM orders JOIN assignments USING (user_id) WHERE ordered_at < seen_at)",)),
    Fault("users_twice", "1 user in 100 has two rows of attributes", ("INSERT INTO users SELECT user_id, score + 1 FROM users WHERE pick(user_id, 0.01)",)),
)  # fmt: skip
