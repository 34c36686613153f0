-- metricdef 0.1.0: experiment test, dialect clickhouse
-- as of 2026-02-28 23:00:00.000000 UTC (rows at or after it do not count)
-- definitions e9d4a955851da034, sql 46b4da7f60e56b98
-- One row per arm, mixed or not: counts of units, then shifted sums, products and cubes of every column.
-- Timestamps are microseconds since 1970 in UTC; the session must be in UTC.

SET session_timezone = 'UTC', max_query_size = 1073741824;
SET max_ast_elements = 10000000, max_expanded_ast_elements = 10000000;
CREATE OR REPLACE TEMPORARY TABLE md_exposure_rows ENGINE = Memory AS
-- Exposures of this experiment. Arms are numbered in the order of their keys.
SELECT
  user_id AS unit,
  toUnixTimestamp64Micro(CAST(happened_at AS Nullable(DateTime64(6, 'UTC')))) AS ts_us,
  CASE CAST(arm AS Nullable(String)) WHEN 'control' THEN 0 WHEN 'treatment' THEN 1 END AS arm_code
FROM assignments
WHERE CAST(experiment AS Nullable(String)) = 'test'
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_exposure_audit ENGINE = Memory AS
-- Every exposure row that is left out, counted by reason.
SELECT
  COUNT(*) AS audit_rows,
  COUNT(CASE WHEN unit IS NULL THEN 1 END) AS audit_null_unit,
  COUNT(CASE WHEN unit IS NOT NULL AND ts_us IS NULL THEN 1 END) AS audit_null_time,
  COUNT(CASE WHEN unit IS NOT NULL AND ts_us < 1767222000000000 /* 2025-12-31 23:00:00.000000 UTC */ THEN 1 END) AS audit_before_start,
  COUNT(CASE WHEN unit IS NOT NULL AND ts_us >= 1769900400000000 /* 2026-01-31 23:00:00.000000 UTC */ THEN 1 END) AS audit_on_or_after_end,
  COUNT(CASE WHEN unit IS NOT NULL AND ts_us >= 1767222000000000 /* 2025-12-31 23:00:00.000000 UTC */ AND ts_us >= 1772319600000000 /* 2026-02-28 23:00:00.000000 UTC */ AND ts_us < 1769900400000000 /* 2026-01-31 23:00:00.000000 UTC */ THEN 1 END) AS audit_after_as_of,
  0 AS audit_not_loaded,
  COUNT(CASE WHEN unit IS NOT NULL AND arm_code IS NULL AND ts_us >= 1767222000000000 /* 2025-12-31 23:00:00.000000 UTC */ AND ts_us < 1769900400000000 /* 2026-01-31 23:00:00.000000 UTC */ THEN 1 END) AS audit_unknown_arm
FROM md_exposure_rows
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_entries ENGINE = Memory AS
-- One row per unit: its first exposure; mixed where it saw more than one arm.
SELECT
  unit AS unit_id,
  CAST(ROW_NUMBER() OVER () AS Int64) AS unit,
  MIN(ts_us) AS exposed_us,
  COUNT(*) AS exposure_rows,
  MIN(ts_us * 2 + arm_code) % 2 AS arm,
  CASE WHEN MIN(arm_code) = MAX(arm_code) THEN 0 ELSE 1 END AS mixed,
  0 AS epoch
FROM md_exposure_rows
WHERE unit IS NOT NULL
  AND arm_code IS NOT NULL
  AND ts_us >= 1767222000000000 /* 2025-12-31 23:00:00.000000 UTC */
  AND ts_us < 1769900400000000 /* 2026-01-31 23:00:00.000000 UTC */
GROUP BY unit
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_facts_orders ENGINE = Memory AS
-- Rows of orders that some value needs, of exposed units only: one scan.
SELECT
  md_entries.unit AS unit,
  fact_rows.ts_us - md_entries.exposed_us AS since_us,
  CASE WHEN md_entries.mixed = 0 AND md_entries.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN md_entries.arm END AS arm_in_mature_7d,
  fact_rows.ts_us AS ts_us,
  fact_rows.m_amount AS m_amount,
  fact_rows.f_1 AS f_1
FROM (
  SELECT
    user_id AS unit,
    toUnixTimestamp64Micro(CAST(happened_at AS Nullable(DateTime64(6, 'UTC')))) AS ts_us,
    amount AS m_amount,
    CASE WHEN (status = 'paid') THEN 1 ELSE 0 END AS f_1
  FROM orders
  WHERE CAST(happened_at AS Nullable(DateTime64(6, 'UTC'))) >= toDateTime64('2025-12-31 23:00:00.000000', 6, 'UTC')
    AND CAST(happened_at AS Nullable(DateTime64(6, 'UTC'))) < toDateTime64('2026-02-07 23:00:00.000000', 6, 'UTC')
) AS fact_rows
INNER JOIN md_entries
  ON md_entries.unit_id = fact_rows.unit
WHERE fact_rows.ts_us - md_entries.exposed_us >= 0
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_ranks_of_amount_p90 ENGINE = Memory AS
WITH
-- What amount_p90 is a quantile of.
md_values_of_amount_p90 AS (
  SELECT
    arm_in_mature_7d AS arm,
    CAST(m_amount AS Nullable(Float64)) AS value
  FROM md_facts_orders
  WHERE arm_in_mature_7d IS NOT NULL
    AND m_amount IS NOT NULL
    AND since_us < 604800000000 /* 7d */
)

-- The quantile of every group, and the values at the ranks that bound it.
SELECT
  arm,
  total,
  CASE WHEN isNaN(argMax(value, CASE WHEN isNaN(value) THEN inf ELSE value END)) THEN argMax(value, CASE WHEN isNaN(value) THEN inf ELSE value END) ELSE
    MIN(CASE WHEN below >= FLOOR(rank_estimate) THEN value END)
    + (rank_estimate - FLOOR(rank_estimate))
    * (MIN(CASE WHEN below >= FLOOR(rank_estimate) + 1 OR below = total THEN value END) - MIN(CASE WHEN below >= FLOOR(rank_estimate) THEN value END))
  END AS estimate,
  CASE WHEN isNaN(argMax(value, CASE WHEN isNaN(value) THEN inf ELSE value END)) THEN argMax(value, CASE WHEN isNaN(value) THEN inf ELSE value END) ELSE
    MIN(CASE WHEN below >= FLOOR(rank_lower) THEN value END)
    + (rank_lower - FLOOR(rank_lower))
    * (MIN(CASE WHEN below >= FLOOR(rank_lower) + 1 OR below = total THEN value END) - MIN(CASE WHEN below >= FLOOR(rank_lower) THEN value END))
  END AS lower,
  CASE WHEN isNaN(argMax(value, CASE WHEN isNaN(value) THEN inf ELSE value END)) THEN argMax(value, CASE WHEN isNaN(value) THEN inf ELSE value END) ELSE
    MIN(CASE WHEN below >= FLOOR(rank_upper) THEN value END)
    + (rank_upper - FLOOR(rank_upper))
    * (MIN(CASE WHEN below >= FLOOR(rank_upper) + 1 OR below = total THEN value END) - MIN(CASE WHEN below >= FLOOR(rank_upper) THEN value END))
  END AS upper
FROM (
  SELECT
    arm,
    value,
    below,
    total,
    1 + (CAST(total AS Nullable(Float64)) - 1) * (CAST(0.9 AS Nullable(Float64))) AS rank_estimate,
    1 + (CAST(total AS Nullable(Float64)) - 1) * (CASE WHEN CAST(0.9 AS Nullable(Float64)) - 1.96 * SQRT(CAST(0.08999999999999998 AS Nullable(Float64)) / CAST(total AS Nullable(Float64))) < 0 THEN 0 ELSE CAST(0.9 AS Nullable(Float64)) - 1.96 * SQRT(CAST(0.08999999999999998 AS Nullable(Float64)) / CAST(total AS Nullable(Float64))) END) AS rank_lower,
    1 + (CAST(total AS Nullable(Float64)) - 1) * (CASE WHEN CAST(0.9 AS Nullable(Float64)) + 1.96 * SQRT(CAST(0.08999999999999998 AS Nullable(Float64)) / CAST(total AS Nullable(Float64))) > 1 THEN 1 ELSE CAST(0.9 AS Nullable(Float64)) + 1.96 * SQRT(CAST(0.08999999999999998 AS Nullable(Float64)) / CAST(total AS Nullable(Float64))) END) AS rank_upper
  FROM (
    SELECT
      arm,
      value,
      SUM(rows_here) OVER (PARTITION BY arm ORDER BY value ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS below,
      SUM(rows_here) OVER (PARTITION BY arm) AS total
    FROM (
      SELECT
        arm,
        value,
        SUM(rows_here) AS rows_here
      FROM (
        SELECT arm, value, COUNT(*) AS rows_here
        FROM md_values_of_amount_p90
        GROUP BY arm, value
      ) AS histogram
      GROUP BY arm, value
    ) AS grouped
  ) AS counted
) AS ranked
GROUP BY arm, total, rank_estimate, rank_lower, rank_upper
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_units ENGINE = Memory AS
WITH
-- One row per unit: its values from orders.
md_unit_orders AS (
  SELECT
    md_facts_orders.unit AS unit,
    COUNT(CASE WHEN since_us < 604800000000 /* 7d */ THEN 1 END) AS u_buyers,
    COUNT(DISTINCT CASE WHEN since_us < 604800000000 /* 7d */ THEN ((ts_us + 3600000000) - (ts_us + 3600000000) % 86400000000) END) AS u_active_days__active_days,
    SUM(CASE WHEN since_us < 604800000000 /* 7d */ THEN CAST(m_amount AS Nullable(Float64)) END) AS u_spenders,
    COUNT(CASE WHEN since_us >= 259200000000 /* 3d */ AND since_us < 604800000000 /* 7d */ THEN 1 END) AS u_returned,
    COUNT(CASE WHEN since_us < 604800000000 /* 7d */ AND m_amount IS NOT NULL AND CAST(m_amount AS Nullable(Float64)) <= CASE arm_in_mature_7d WHEN 0 THEN estimates_of_amount_p90.arm_0 WHEN 1 THEN estimates_of_amount_p90.arm_1 END THEN 1 END) AS q_low_amount_p90,
    COUNT(CASE WHEN since_us < 604800000000 /* 7d */ AND m_amount IS NOT NULL THEN 1 END) AS q_rows_amount_p90
  FROM md_facts_orders
  CROSS JOIN (
    SELECT
      MAX(CASE WHEN arm = 0 THEN estimate END) AS arm_0,
      MAX(CASE WHEN arm = 1 THEN estimate END) AS arm_1
    FROM md_ranks_of_amount_p90
  ) AS estimates_of_amount_p90
  GROUP BY md_facts_orders.unit
),

-- The first value of every unit.
md_first_first_order__value AS (
  SELECT
    unit,
    u_first_order__value
  FROM (
    SELECT
      md_facts_orders.unit AS unit,
      CAST(m_amount AS Nullable(Float64)) AS u_first_order__value,
      ROW_NUMBER() OVER (PARTITION BY md_facts_orders.unit ORDER BY since_us, m_amount) AS place
    FROM md_facts_orders
    WHERE m_amount IS NOT NULL
      AND since_us < 604800000000 /* 7d */
  ) AS placed
  WHERE place = 1
),

-- How far every unit came in the funnel.
md_funnel_paid__placed AS (
  SELECT
    unit,
    MAX(reached_1) AS u_paid__placed__1,
    MAX(reached_2) AS u_paid__placed__2
  FROM (
    SELECT
      unit,
      at_us,
      step_1,
      step_2,
      reached_1,
      CASE WHEN step_2 = 1 AND last_us IS NOT NULL AND at_us - last_us < 172800000000 /* 2d */ THEN 1 ELSE 0 END AS reached_2
    FROM (
      SELECT
        unit,
        at_us,
        step_1,
        step_2,
        reached_1,
        MAX(CASE WHEN reached_1 = 1 THEN at_us END) OVER (PARTITION BY unit ORDER BY at_us, reached_1 DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS last_us
      FROM (
        SELECT
          unit,
          at_us,
          step_1,
          step_2,
          CASE WHEN step_1 = 1 THEN 1 ELSE 0 END AS reached_1
        FROM (
          SELECT
            md_facts_orders.unit AS unit,
            since_us AS at_us,
            1 AS step_1,
            CASE WHEN f_1 = 1 THEN 1 ELSE 0 END AS step_2
          FROM md_facts_orders
          WHERE since_us < 604800000000 /* 7d */
        ) AS funnel_rows
      ) AS level_1
    ) AS before_2
  ) AS level_2
  GROUP BY unit
)

-- One row per unit.
SELECT
  md_entries.unit AS unit,
  md_entries.arm AS arm,
  md_entries.mixed AS mixed,
  md_entries.epoch AS epoch,
  md_entries.exposed_us AS exposed_us,
  md_unit_orders.u_buyers AS u_buyers,
  md_first_first_order__value.u_first_order__value AS u_first_order__value,
  md_unit_orders.u_active_days__active_days AS u_active_days__active_days,
  md_unit_orders.u_spenders AS u_spenders,
  md_unit_orders.u_returned AS u_returned,
  md_unit_orders.q_low_amount_p90 AS q_low_amount_p90,
  md_unit_orders.q_rows_amount_p90 AS q_rows_amount_p90,
  md_funnel_paid__placed.u_paid__placed__1 AS u_paid__placed__1,
  md_funnel_paid__placed.u_paid__placed__2 AS u_paid__placed__2,
  1 AS in_population
FROM md_entries
LEFT JOIN md_unit_orders
  ON md_unit_orders.unit = md_entries.unit
LEFT JOIN md_first_first_order__value
  ON md_first_first_order__value.unit = md_entries.unit
LEFT JOIN md_funnel_paid__placed
  ON md_funnel_paid__placed.unit = md_entries.unit
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_percentiles ENGINE = Memory AS
-- Limits from the data: p the percentile over all arms, h the median of what is not 0.
SELECT
  quantileExactInclusive(0.99)(CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ AND COALESCE(md_units.u_spenders, 0) <> 0 THEN COALESCE(md_units.u_spenders, 0) END) AS p_order_value__numerator__upper,
  quantileExactInclusive(0.5)(CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ AND COALESCE(md_units.u_spenders, 0) <> 0 THEN COALESCE(md_units.u_spenders, 0) END) AS h_order_value__numerator__upper
FROM md_units
WHERE in_population = 1
  AND mixed = 0
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_eligible ENGINE = Memory AS
-- Values of the units whose window is complete; NULL for the others.
SELECT
  md_units.unit AS unit,
  md_units.arm AS arm,
  md_units.mixed AS mixed,
  md_units.epoch AS epoch,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN 1 ELSE 0 END AS in_mature_7d,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN CAST(COALESCE(md_units.u_buyers, 0) AS Nullable(Float64)) >= CAST(1.0 AS Nullable(Float64)) THEN CAST(1.0 AS Nullable(Float64)) ELSE CAST(0.0 AS Nullable(Float64)) END END AS v_buyers,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN md_units.u_first_order__value IS NOT NULL THEN COALESCE(md_units.u_first_order__value, 0) ELSE CAST(0.0 AS Nullable(Float64)) END END AS v_first_order__value,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN md_units.u_first_order__value IS NOT NULL THEN CAST(1.0 AS Nullable(Float64)) ELSE CAST(0.0 AS Nullable(Float64)) END END AS v_first_order__responded,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CAST(COALESCE(md_units.u_active_days__active_days, 0) AS Nullable(Float64)) END AS v_active_days__active_days,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN (md_units.exposed_us) <= (CASE WHEN md_units.exposed_us + 604800000000 /* 7d */ < 1772319600000000 /* 2026-02-28 23:00:00.000000 UTC */ THEN md_units.exposed_us + 604800000000 /* 7d */ ELSE 1772319600000000 /* 2026-02-28 23:00:00.000000 UTC */ END - 1) THEN CAST(((((CASE WHEN md_units.exposed_us + 604800000000 /* 7d */ < 1772319600000000 /* 2026-02-28 23:00:00.000000 UTC */ THEN md_units.exposed_us + 604800000000 /* 7d */ ELSE 1772319600000000 /* 2026-02-28 23:00:00.000000 UTC */ END - 1) + 3600000000) - ((CASE WHEN md_units.exposed_us + 604800000000 /* 7d */ < 1772319600000000 /* 2026-02-28 23:00:00.000000 UTC */ THEN md_units.exposed_us + 604800000000 /* 7d */ ELSE 1772319600000000 /* 2026-02-28 23:00:00.000000 UTC */ END - 1) + 3600000000) % 86400000000) - (((md_units.exposed_us) + 3600000000) - ((md_units.exposed_us) + 3600000000) % 86400000000)) / 86400000000 + 1 AS Nullable(Float64)) ELSE CAST(0.0 AS Nullable(Float64)) END END AS v_active_days__observed_days,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN isNaN(COALESCE(md_units.u_spenders, 0)) THEN COALESCE(md_units.u_spenders, 0) WHEN COALESCE(md_units.u_spenders, 0) > CAST(50.0 AS Nullable(Float64)) THEN CAST(1.0 AS Nullable(Float64)) ELSE CAST(0.0 AS Nullable(Float64)) END END AS v_spenders,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN CAST(COALESCE(md_units.u_returned, 0) AS Nullable(Float64)) >= CAST(2.0 AS Nullable(Float64)) THEN CAST(1.0 AS Nullable(Float64)) ELSE CAST(0.0 AS Nullable(Float64)) END END AS v_returned,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN COALESCE(md_units.u_spenders, 0) > md_percentiles.p_order_value__numerator__upper THEN md_percentiles.p_order_value__numerator__upper ELSE COALESCE(md_units.u_spenders, 0) END END AS v_order_value__numerator,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN COALESCE(md_units.u_spenders, 0) > md_percentiles.p_order_value__numerator__upper THEN 1 ELSE 0 END END AS c_order_value__numerator,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CAST(COALESCE(md_units.u_buyers, 0) AS Nullable(Float64)) END AS v_order_value__denominator,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN COALESCE(md_units.u_spenders, 0) END AS v_order_value__numerator__uncapped,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CAST(COALESCE(md_units.u_paid__placed__1, 0) AS Nullable(Float64)) END AS v_paid__placed,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CAST(COALESCE(md_units.u_paid__placed__2, 0) AS Nullable(Float64)) END AS v_paid__paid,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN md_units.u_spenders IS NOT NULL THEN COALESCE(md_units.u_spenders, 0) ELSE CAST(0.0 AS Nullable(Float64)) END END AS v_median__value,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN md_units.u_spenders IS NOT NULL THEN CAST(1.0 AS Nullable(Float64)) ELSE CAST(0.0 AS Nullable(Float64)) END END AS v_median__responded
FROM md_units
CROSS JOIN md_percentiles
WHERE md_units.in_population = 1
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_centres ENGINE = Memory AS
-- One constant near the mean of every column, the same in all arms: products of differences lose no digits.
SELECT
  COALESCE(AVG(v_buyers), 0) AS v_buyers,
  COALESCE(AVG(v_first_order__value), 0) AS v_first_order__value,
  COALESCE(AVG(v_first_order__responded), 0) AS v_first_order__responded,
  COALESCE(AVG(v_active_days__active_days), 0) AS v_active_days__active_days,
  COALESCE(AVG(v_active_days__observed_days), 0) AS v_active_days__observed_days,
  COALESCE(AVG(v_spenders), 0) AS v_spenders,
  COALESCE(AVG(v_returned), 0) AS v_returned,
  COALESCE(AVG(v_order_value__numerator), 0) AS v_order_value__numerator,
  COALESCE(AVG(v_order_value__denominator), 0) AS v_order_value__denominator,
  COALESCE(AVG(v_order_value__numerator__uncapped), 0) AS v_order_value__numerator__uncapped,
  COALESCE(AVG(v_paid__placed), 0) AS v_paid__placed,
  COALESCE(AVG(v_paid__paid), 0) AS v_paid__paid,
  COALESCE(AVG(v_median__value), 0) AS v_median__value,
  COALESCE(AVG(v_median__responded), 0) AS v_median__responded
FROM md_eligible
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_groups ENGINE = Memory AS
WITH
-- Distances from the centres.
md_centred AS (
  SELECT
    md_eligible.arm AS arm,
    md_eligible.mixed AS mixed,
    md_eligible.epoch AS epoch,
    md_eligible.in_mature_7d AS in_mature_7d,
    md_eligible.v_buyers AS v_buyers,
    md_eligible.v_buyers - md_centres.v_buyers AS d_buyers,
    md_eligible.v_first_order__value AS v_first_order__value,
    md_eligible.v_first_order__value - md_centres.v_first_order__value AS d_first_order__value,
    md_eligible.v_first_order__responded AS v_first_order__responded,
    md_eligible.v_first_order__responded - md_centres.v_first_order__responded AS d_first_order__responded,
    md_eligible.v_active_days__active_days AS v_active_days__active_days,
    md_eligible.v_active_days__active_days - md_centres.v_active_days__active_days AS d_active_days__active_days,
    md_eligible.v_active_days__observed_days AS v_active_days__observed_days,
    md_eligible.v_active_days__observed_days - md_centres.v_active_days__observed_days AS d_active_days__observed_days,
    md_eligible.v_spenders AS v_spenders,
    md_eligible.v_spenders - md_centres.v_spenders AS d_spenders,
    md_eligible.v_returned AS v_returned,
    md_eligible.v_returned - md_centres.v_returned AS d_returned,
    md_eligible.v_order_value__numerator AS v_order_value__numerator,
    md_eligible.c_order_value__numerator AS c_order_value__numerator,
    md_eligible.v_order_value__numerator - md_centres.v_order_value__numerator AS d_order_value__numerator,
    md_eligible.v_order_value__denominator AS v_order_value__denominator,
    md_eligible.v_order_value__denominator - md_centres.v_order_value__denominator AS d_order_value__denominator,
    md_eligible.v_order_value__numerator__uncapped AS v_order_value__numerator__uncapped,
    md_eligible.v_order_value__numerator__uncapped - md_centres.v_order_value__numerator__uncapped AS d_order_value__numerator__uncapped,
    md_eligible.v_paid__placed AS v_paid__placed,
    md_eligible.v_paid__placed - md_centres.v_paid__placed AS d_paid__placed,
    md_eligible.v_paid__paid AS v_paid__paid,
    md_eligible.v_paid__paid - md_centres.v_paid__paid AS d_paid__paid,
    md_eligible.v_median__value AS v_median__value,
    md_eligible.v_median__value - md_centres.v_median__value AS d_median__value,
    md_eligible.v_median__responded AS v_median__responded,
    md_eligible.v_median__responded - md_centres.v_median__responded AS d_median__responded,
    md_eligible.v_first_order__value - COALESCE(md_centres.v_first_order__value / NULLIF(md_centres.v_first_order__responded, 0), 0) * md_eligible.v_first_order__responded AS v_first_order__value__residual,
    md_eligible.v_first_order__value - COALESCE(md_centres.v_first_order__value / NULLIF(md_centres.v_first_order__responded, 0), 0) * md_eligible.v_first_order__responded AS d_first_order__value__residual,
    md_eligible.v_active_days__active_days - COALESCE(md_centres.v_active_days__active_days / NULLIF(md_centres.v_active_days__observed_days, 0), 0) * md_eligible.v_active_days__observed_days AS v_active_days__active_days__residual,
    md_eligible.v_active_days__active_days - COALESCE(md_centres.v_active_days__active_days / NULLIF(md_centres.v_active_days__observed_days, 0), 0) * md_eligible.v_active_days__observed_days AS d_active_days__active_days__residual,
    md_eligible.v_order_value__numerator - COALESCE(md_centres.v_order_value__numerator / NULLIF(md_centres.v_order_value__denominator, 0), 0) * md_eligible.v_order_value__denominator AS v_order_value__numerator__residual,
    md_eligible.v_order_value__numerator - COALESCE(md_centres.v_order_value__numerator / NULLIF(md_centres.v_order_value__denominator, 0), 0) * md_eligible.v_order_value__denominator AS d_order_value__numerator__residual,
    md_eligible.v_order_value__numerator__uncapped - COALESCE(md_centres.v_order_value__numerator__uncapped / NULLIF(md_centres.v_order_value__denominator, 0), 0) * md_eligible.v_order_value__denominator AS v_order_value__numerator__uncapped__residual,
    md_eligible.v_order_value__numerator__uncapped - COALESCE(md_centres.v_order_value__numerator__uncapped / NULLIF(md_centres.v_order_value__denominator, 0), 0) * md_eligible.v_order_value__denominator AS d_order_value__numerator__uncapped__residual
  FROM md_eligible
  CROSS JOIN md_centres
)

-- n: units, s: sums, q: products, k: cubes, a: largest size, z: non-zero, w: capped; by block and column.
SELECT
  arm,
  mixed,
  epoch,
  COUNT(*) AS group_rows,
  SUM(in_mature_7d) AS n__mature_7d,
  SUM(d_buyers) AS s__b0_0,
  SUM(d_first_order__value) AS s__b0_1,
  SUM(d_first_order__responded) AS s__b0_2,
  SUM(d_first_order__value__residual) AS s__b0_3,
  SUM(d_active_days__active_days) AS s__b0_4,
  SUM(d_active_days__observed_days) AS s__b0_5,
  SUM(d_active_days__active_days__residual) AS s__b0_6,
  SUM(d_spenders) AS s__b0_7,
  SUM(d_returned) AS s__b0_8,
  SUM(d_order_value__numerator) AS s__b0_9,
  SUM(d_order_value__denominator) AS s__b0_10,
  SUM(d_order_value__numerator__uncapped) AS s__b0_11,
  SUM(d_order_value__numerator__residual) AS s__b0_12,
  SUM(d_order_value__numerator__uncapped__residual) AS s__b0_13,
  SUM(d_paid__placed) AS s__b0_14,
  SUM(d_paid__paid) AS s__b0_15,
  SUM(d_median__value) AS s__b0_16,
  SUM(d_median__responded) AS s__b0_17,
  SUM(d_buyers * d_buyers) AS q__b0_0_0,
  SUM(d_first_order__value * d_first_order__value) AS q__b0_1_1,
  SUM(d_first_order__value * d_first_order__responded) AS q__b0_1_2,
  SUM(d_first_order__value * d_first_order__value__residual) AS q__b0_1_3,
  SUM(d_first_order__responded * d_first_order__responded) AS q__b0_2_2,
  SUM(d_first_order__responded * d_first_order__value__residual) AS q__b0_2_3,
  SUM(d_first_order__value__residual * d_first_order__value__residual) AS q__b0_3_3,
  SUM(d_active_days__active_days * d_active_days__active_days) AS q__b0_4_4,
  SUM(d_active_days__active_days * d_active_days__observed_days) AS q__b0_4_5,
  SUM(d_active_days__active_days * d_active_days__active_days__residual) AS q__b0_4_6,
  SUM(d_active_days__observed_days * d_active_days__observed_days) AS q__b0_5_5,
  SUM(d_active_days__observed_days * d_active_days__active_days__residual) AS q__b0_5_6,
  SUM(d_active_days__active_days__residual * d_active_days__active_days__residual) AS q__b0_6_6,
  SUM(d_spenders * d_spenders) AS q__b0_7_7,
  SUM(d_returned * d_returned) AS q__b0_8_8,
  SUM(d_order_value__numerator * d_order_value__numerator) AS q__b0_9_9,
  SUM(d_order_value__numerator * d_order_value__denominator) AS q__b0_9_10,
  SUM(d_order_value__numerator * d_order_value__numerator__uncapped) AS q__b0_9_11,
  SUM(d_order_value__numerator * d_order_value__numerator__residual) AS q__b0_9_12,
  SUM(d_order_value__numerator * d_order_value__numerator__uncapped__residual) AS q__b0_9_13,
  SUM(d_order_value__denominator * d_order_value__denominator) AS q__b0_10_10,
  SUM(d_order_value__denominator * d_order_value__numerator__uncapped) AS q__b0_10_11,
  SUM(d_order_value__denominator * d_order_value__numerator__residual) AS q__b0_10_12,
  SUM(d_order_value__denominator * d_order_value__numerator__uncapped__residual) AS q__b0_10_13,
  SUM(d_order_value__numerator__uncapped * d_order_value__numerator__uncapped) AS q__b0_11_11,
  SUM(d_order_value__numerator__uncapped * d_order_value__numerator__residual) AS q__b0_11_12,
  SUM(d_order_value__numerator__uncapped * d_order_value__numerator__uncapped__residual) AS q__b0_11_13,
  SUM(d_order_value__numerator__residual * d_order_value__numerator__residual) AS q__b0_12_12,
  SUM(d_order_value__numerator__residual * d_order_value__numerator__uncapped__residual) AS q__b0_12_13,
  SUM(d_order_value__numerator__uncapped__residual * d_order_value__numerator__uncapped__residual) AS q__b0_13_13,
  SUM(d_paid__placed * d_paid__placed) AS q__b0_14_14,
  SUM(d_paid__paid * d_paid__paid) AS q__b0_15_15,
  SUM(d_median__value * d_median__value) AS q__b0_16_16,
  SUM(d_median__value * d_median__responded) AS q__b0_16_17,
  SUM(d_median__responded * d_median__responded) AS q__b0_17_17,
  SUM(d_buyers * d_buyers * d_buyers) AS k__b0_0,
  MAX(ABS(v_buyers)) AS a__b0_0,
  COUNT(CASE WHEN v_buyers <> 0 THEN 1 END) AS z__b0_0,
  SUM(d_first_order__value * d_first_order__value * d_first_order__value) AS k__b0_1,
  MAX(ABS(v_first_order__value)) AS a__b0_1,
  COUNT(CASE WHEN v_first_order__value <> 0 THEN 1 END) AS z__b0_1,
  SUM(d_first_order__responded * d_first_order__responded * d_first_order__responded) AS k__b0_2,
  MAX(ABS(v_first_order__responded)) AS a__b0_2,
  COUNT(CASE WHEN v_first_order__responded <> 0 THEN 1 END) AS z__b0_2,
  SUM(d_first_order__value__residual * d_first_order__value__residual * d_first_order__value__residual) AS k__b0_3,
  MAX(ABS(v_first_order__value__residual)) AS a__b0_3,
  COUNT(CASE WHEN v_first_order__value__residual <> 0 THEN 1 END) AS z__b0_3,
  SUM(d_active_days__active_days * d_active_days__active_days * d_active_days__active_days) AS k__b0_4,
  MAX(ABS(v_active_days__active_days)) AS a__b0_4,
  COUNT(CASE WHEN v_active_days__active_days <> 0 THEN 1 END) AS z__b0_4,
  SUM(d_active_days__observed_days * d_active_days__observed_days * d_active_days__observed_days) AS k__b0_5,
  MAX(ABS(v_active_days__observed_days)) AS a__b0_5,
  COUNT(CASE WHEN v_active_days__observed_days <> 0 THEN 1 END) AS z__b0_5,
  SUM(d_active_days__active_days__residual * d_active_days__active_days__residual * d_active_days__active_days__residual) AS k__b0_6,
  MAX(ABS(v_active_days__active_days__residual)) AS a__b0_6,
  COUNT(CASE WHEN v_active_days__active_days__residual <> 0 THEN 1 END) AS z__b0_6,
  SUM(d_spenders * d_spenders * d_spenders) AS k__b0_7,
  MAX(ABS(v_spenders)) AS a__b0_7,
  COUNT(CASE WHEN v_spenders <> 0 THEN 1 END) AS z__b0_7,
  SUM(d_returned * d_returned * d_returned) AS k__b0_8,
  MAX(ABS(v_returned)) AS a__b0_8,
  COUNT(CASE WHEN v_returned <> 0 THEN 1 END) AS z__b0_8,
  SUM(d_order_value__numerator * d_order_value__numerator * d_order_value__numerator) AS k__b0_9,
  MAX(ABS(v_order_value__numerator)) AS a__b0_9,
  COUNT(CASE WHEN v_order_value__numerator <> 0 THEN 1 END) AS z__b0_9,
  SUM(d_order_value__denominator * d_order_value__denominator * d_order_value__denominator) AS k__b0_10,
  MAX(ABS(v_order_value__denominator)) AS a__b0_10,
  COUNT(CASE WHEN v_order_value__denominator <> 0 THEN 1 END) AS z__b0_10,
  SUM(d_order_value__numerator__uncapped * d_order_value__numerator__uncapped * d_order_value__numerator__uncapped) AS k__b0_11,
  MAX(ABS(v_order_value__numerator__uncapped)) AS a__b0_11,
  COUNT(CASE WHEN v_order_value__numerator__uncapped <> 0 THEN 1 END) AS z__b0_11,
  SUM(d_order_value__numerator__residual * d_order_value__numerator__residual * d_order_value__numerator__residual) AS k__b0_12,
  MAX(ABS(v_order_value__numerator__residual)) AS a__b0_12,
  COUNT(CASE WHEN v_order_value__numerator__residual <> 0 THEN 1 END) AS z__b0_12,
  SUM(d_order_value__numerator__uncapped__residual * d_order_value__numerator__uncapped__residual * d_order_value__numerator__uncapped__residual) AS k__b0_13,
  MAX(ABS(v_order_value__numerator__uncapped__residual)) AS a__b0_13,
  COUNT(CASE WHEN v_order_value__numerator__uncapped__residual <> 0 THEN 1 END) AS z__b0_13,
  SUM(d_paid__placed * d_paid__placed * d_paid__placed) AS k__b0_14,
  MAX(ABS(v_paid__placed)) AS a__b0_14,
  COUNT(CASE WHEN v_paid__placed <> 0 THEN 1 END) AS z__b0_14,
  SUM(d_paid__paid * d_paid__paid * d_paid__paid) AS k__b0_15,
  MAX(ABS(v_paid__paid)) AS a__b0_15,
  COUNT(CASE WHEN v_paid__paid <> 0 THEN 1 END) AS z__b0_15,
  SUM(d_median__value * d_median__value * d_median__value) AS k__b0_16,
  MAX(ABS(v_median__value)) AS a__b0_16,
  COUNT(CASE WHEN v_median__value <> 0 THEN 1 END) AS z__b0_16,
  SUM(d_median__responded * d_median__responded * d_median__responded) AS k__b0_17,
  MAX(ABS(v_median__responded)) AS a__b0_17,
  COUNT(CASE WHEN v_median__responded <> 0 THEN 1 END) AS z__b0_17,
  SUM(c_order_value__numerator) AS w__b0_9
FROM md_centred
GROUP BY arm, mixed, epoch
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_values_of_median ENGINE = Memory AS
-- What median is a quantile of.
SELECT
  md_eligible.unit AS unit,
  md_eligible.arm AS arm,
  md_eligible.v_median__value AS value
FROM md_eligible
WHERE md_eligible.in_mature_7d = 1
  AND md_eligible.mixed = 0
  AND md_eligible.v_median__responded = CAST(1.0 AS Nullable(Float64))
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_ranks_of_median ENGINE = Memory AS
-- The quantile of every group, and the values at the ranks that bound it.
SELECT
  arm,
  total,
  CASE WHEN isNaN(argMax(value, CASE WHEN isNaN(value) THEN inf ELSE value END)) THEN argMax(value, CASE WHEN isNaN(value) THEN inf ELSE value END) ELSE
    MIN(CASE WHEN below >= FLOOR(rank_estimate) THEN value END)
    + (rank_estimate - FLOOR(rank_estimate))
    * (MIN(CASE WHEN below >= FLOOR(rank_estimate) + 1 OR below = total THEN value END) - MIN(CASE WHEN below >= FLOOR(rank_estimate) THEN value END))
  END AS estimate,
  CASE WHEN isNaN(argMax(value, CASE WHEN isNaN(value) THEN inf ELSE value END)) THEN argMax(value, CASE WHEN isNaN(value) THEN inf ELSE value END) ELSE
    MIN(CASE WHEN below >= FLOOR(rank_lower) THEN value END)
    + (rank_lower - FLOOR(rank_lower))
    * (MIN(CASE WHEN below >= FLOOR(rank_lower) + 1 OR below = total THEN value END) - MIN(CASE WHEN below >= FLOOR(rank_lower) THEN value END))
  END AS lower,
  CASE WHEN isNaN(argMax(value, CASE WHEN isNaN(value) THEN inf ELSE value END)) THEN argMax(value, CASE WHEN isNaN(value) THEN inf ELSE value END) ELSE
    MIN(CASE WHEN below >= FLOOR(rank_upper) THEN value END)
    + (rank_upper - FLOOR(rank_upper))
    * (MIN(CASE WHEN below >= FLOOR(rank_upper) + 1 OR below = total THEN value END) - MIN(CASE WHEN below >= FLOOR(rank_upper) THEN value END))
  END AS upper
FROM (
  SELECT
    arm,
    value,
    below,
    total,
    1 + (CAST(total AS Nullable(Float64)) - 1) * (CAST(0.5 AS Nullable(Float64))) AS rank_estimate,
    1 + (CAST(total AS Nullable(Float64)) - 1) * (CASE WHEN CAST(0.5 AS Nullable(Float64)) - 1.96 * SQRT(CAST(0.25 AS Nullable(Float64)) / CAST(total AS Nullable(Float64))) < 0 THEN 0 ELSE CAST(0.5 AS Nullable(Float64)) - 1.96 * SQRT(CAST(0.25 AS Nullable(Float64)) / CAST(total AS Nullable(Float64))) END) AS rank_lower,
    1 + (CAST(total AS Nullable(Float64)) - 1) * (CASE WHEN CAST(0.5 AS Nullable(Float64)) + 1.96 * SQRT(CAST(0.25 AS Nullable(Float64)) / CAST(total AS Nullable(Float64))) > 1 THEN 1 ELSE CAST(0.5 AS Nullable(Float64)) + 1.96 * SQRT(CAST(0.25 AS Nullable(Float64)) / CAST(total AS Nullable(Float64))) END) AS rank_upper
  FROM (
    SELECT
      arm,
      value,
      SUM(rows_here) OVER (PARTITION BY arm ORDER BY value ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS below,
      SUM(rows_here) OVER (PARTITION BY arm) AS total
    FROM (
      SELECT
        arm,
        value,
        SUM(rows_here) AS rows_here
      FROM (
        SELECT arm, value, COUNT(*) AS rows_here
        FROM md_values_of_median
        GROUP BY arm, value
      ) AS histogram
      GROUP BY arm, value
    ) AS grouped
  ) AS counted
) AS ranked
GROUP BY arm, total, rank_estimate, rank_lower, rank_upper
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
WITH
-- Units by arm of first exposure.
md_arm_counts AS (
  SELECT
    arm,
    mixed,
    epoch,
    COUNT(*) AS units_assigned,
    COUNT(CASE WHEN in_population = 1 THEN 1 END) AS units_in_population,
    COUNT(CASE WHEN in_population = 1 THEN 1 END) AS units_analysed
  FROM md_units
  GROUP BY arm, mixed, epoch
),

-- Rows of every unit, and how many lie at or below the quantile of its group.
md_units_of_amount_p90 AS (
  SELECT
    md_eligible.arm AS arm,
    md_eligible.unit AS unit,
    md_units.q_low_amount_p90 AS low,
    md_units.q_rows_amount_p90 AS rows_here
  FROM md_eligible
  INNER JOIN md_units
    ON md_units.unit = md_eligible.unit
  WHERE md_units.q_rows_amount_p90 > 0
    AND md_eligible.in_mature_7d = 1
    AND md_eligible.mixed = 0
),

-- Groups of amount_p90.
md_quantile_of_amount_p90 AS (
  SELECT
    md_ranks_of_amount_p90.arm AS arm,
    md_ranks_of_amount_p90.total AS total,
    md_ranks_of_amount_p90.estimate AS estimate,
    md_ranks_of_amount_p90.lower AS lower,
    md_ranks_of_amount_p90.upper AS upper,
    counts.low AS low,
    counts.rows_here AS rows_here,
    counts.low_low AS low_low,
    counts.low_rows AS low_rows,
    counts.rows_rows AS rows_rows
  FROM md_ranks_of_amount_p90
  INNER JOIN (
    SELECT
      arm,
      SUM(low) AS low,
      SUM(rows_here) AS rows_here,
      SUM(low * low) AS low_low,
      SUM(low * rows_here) AS low_rows,
      SUM(rows_here * rows_here) AS rows_rows
    FROM md_units_of_amount_p90
    GROUP BY arm
  ) AS counts
    ON counts.arm = md_ranks_of_amount_p90.arm
),

-- Groups of median.
md_quantile_of_median AS (
  SELECT
    md_ranks_of_median.arm AS arm,
    md_ranks_of_median.total AS total,
    md_ranks_of_median.estimate AS estimate,
    md_ranks_of_median.lower AS lower,
    md_ranks_of_median.upper AS upper
  FROM md_ranks_of_median
),

-- Units by the local day of their first exposure; again: exposed more than once.
md_entry_days AS (
  SELECT
    arm,
    mixed,
    epoch,
    day_us,
    COUNT(*) AS entered_units,
    COUNT(CASE WHEN exposure_rows > 1 THEN 1 END) AS entered_again
  FROM (
    SELECT
      arm,
      mixed,
      epoch,
      exposure_rows,
      ((exposed_us + 3600000000) - (exposed_us + 3600000000) % 86400000000) AS day_us
    FROM md_entries
  ) AS days_of_entry
  GROUP BY arm, mixed, epoch, day_us
)

-- Every arm has its rows, also where no unit came.
SELECT
  'group' AS kind,
  CAST(arms.arm AS Nullable(Int64)) AS arm,
  CAST(arms.mixed AS Nullable(Int64)) AS mixed,
  CAST(arms.epoch AS Nullable(Int64)) AS epoch,
  CAST(COALESCE(md_arm_counts.units_assigned, 0) AS Nullable(Int64)) AS units_assigned,
  CAST(COALESCE(md_arm_counts.units_in_population, 0) AS Nullable(Int64)) AS units_in_population,
  CAST(COALESCE(md_arm_counts.units_analysed, 0) AS Nullable(Int64)) AS units_analysed,
  CAST(md_exposure_audit.audit_rows AS Nullable(Int64)) AS audit_rows,
  CAST(md_exposure_audit.audit_null_unit AS Nullable(Int64)) AS audit_null_unit,
  CAST(md_exposure_audit.audit_null_time AS Nullable(Int64)) AS audit_null_time,
  CAST(md_exposure_audit.audit_before_start AS Nullable(Int64)) AS audit_before_start,
  CAST(md_exposure_audit.audit_on_or_after_end AS Nullable(Int64)) AS audit_on_or_after_end,
  CAST(md_exposure_audit.audit_after_as_of AS Nullable(Int64)) AS audit_after_as_of,
  CAST(md_exposure_audit.audit_not_loaded AS Nullable(Int64)) AS audit_not_loaded,
  CAST(md_exposure_audit.audit_unknown_arm AS Nullable(Int64)) AS audit_unknown_arm,
  CAST(md_percentiles.p_order_value__numerator__upper AS Nullable(Float64)) AS p__order_value__numerator__upper,
  CAST(md_percentiles.h_order_value__numerator__upper AS Nullable(Float64)) AS h__order_value__numerator__upper,
  CAST(md_centres.v_buyers AS Nullable(Float64)) AS c__b0_0,
  CAST(md_centres.v_first_order__value AS Nullable(Float64)) AS c__b0_1,
  CAST(md_centres.v_first_order__responded AS Nullable(Float64)) AS c__b0_2,
  CAST(md_centres.v_active_days__active_days AS Nullable(Float64)) AS c__b0_4,
  CAST(md_centres.v_active_days__observed_days AS Nullable(Float64)) AS c__b0_5,
  CAST(md_centres.v_spenders AS Nullable(Float64)) AS c__b0_7,
  CAST(md_centres.v_returned AS Nullable(Float64)) AS c__b0_8,
  CAST(md_centres.v_order_value__numerator AS Nullable(Float64)) AS c__b0_9,
  CAST(md_centres.v_order_value__denominator AS Nullable(Float64)) AS c__b0_10,
  CAST(md_centres.v_order_value__numerator__uncapped AS Nullable(Float64)) AS c__b0_11,
  CAST(md_centres.v_paid__placed AS Nullable(Float64)) AS c__b0_14,
  CAST(md_centres.v_paid__paid AS Nullable(Float64)) AS c__b0_15,
  CAST(md_centres.v_median__value AS Nullable(Float64)) AS c__b0_16,
  CAST(md_centres.v_median__responded AS Nullable(Float64)) AS c__b0_17,
  CAST(md_groups.group_rows AS Nullable(Int64)) AS group_rows,
  CAST(md_groups.n__mature_7d AS Nullable(Float64)) AS n__mature_7d,
  CAST(md_groups.s__b0_0 AS Nullable(Float64)) AS s__b0_0,
  CAST(md_groups.s__b0_1 AS Nullable(Float64)) AS s__b0_1,
  CAST(md_groups.s__b0_2 AS Nullable(Float64)) AS s__b0_2,
  CAST(md_groups.s__b0_3 AS Nullable(Float64)) AS s__b0_3,
  CAST(md_groups.s__b0_4 AS Nullable(Float64)) AS s__b0_4,
  CAST(md_groups.s__b0_5 AS Nullable(Float64)) AS s__b0_5,
  CAST(md_groups.s__b0_6 AS Nullable(Float64)) AS s__b0_6,
  CAST(md_groups.s__b0_7 AS Nullable(Float64)) AS s__b0_7,
  CAST(md_groups.s__b0_8 AS Nullable(Float64)) AS s__b0_8,
  CAST(md_groups.s__b0_9 AS Nullable(Float64)) AS s__b0_9,
  CAST(md_groups.s__b0_10 AS Nullable(Float64)) AS s__b0_10,
  CAST(md_groups.s__b0_11 AS Nullable(Float64)) AS s__b0_11,
  CAST(md_groups.s__b0_12 AS Nullable(Float64)) AS s__b0_12,
  CAST(md_groups.s__b0_13 AS Nullable(Float64)) AS s__b0_13,
  CAST(md_groups.s__b0_14 AS Nullable(Float64)) AS s__b0_14,
  CAST(md_groups.s__b0_15 AS Nullable(Float64)) AS s__b0_15,
  CAST(md_groups.s__b0_16 AS Nullable(Float64)) AS s__b0_16,
  CAST(md_groups.s__b0_17 AS Nullable(Float64)) AS s__b0_17,
  CAST(md_groups.q__b0_0_0 AS Nullable(Float64)) AS q__b0_0_0,
  CAST(md_groups.q__b0_1_1 AS Nullable(Float64)) AS q__b0_1_1,
  CAST(md_groups.q__b0_1_2 AS Nullable(Float64)) AS q__b0_1_2,
  CAST(md_groups.q__b0_1_3 AS Nullable(Float64)) AS q__b0_1_3,
  CAST(md_groups.q__b0_2_2 AS Nullable(Float64)) AS q__b0_2_2,
  CAST(md_groups.q__b0_2_3 AS Nullable(Float64)) AS q__b0_2_3,
  CAST(md_groups.q__b0_3_3 AS Nullable(Float64)) AS q__b0_3_3,
  CAST(md_groups.q__b0_4_4 AS Nullable(Float64)) AS q__b0_4_4,
  CAST(md_groups.q__b0_4_5 AS Nullable(Float64)) AS q__b0_4_5,
  CAST(md_groups.q__b0_4_6 AS Nullable(Float64)) AS q__b0_4_6,
  CAST(md_groups.q__b0_5_5 AS Nullable(Float64)) AS q__b0_5_5,
  CAST(md_groups.q__b0_5_6 AS Nullable(Float64)) AS q__b0_5_6,
  CAST(md_groups.q__b0_6_6 AS Nullable(Float64)) AS q__b0_6_6,
  CAST(md_groups.q__b0_7_7 AS Nullable(Float64)) AS q__b0_7_7,
  CAST(md_groups.q__b0_8_8 AS Nullable(Float64)) AS q__b0_8_8,
  CAST(md_groups.q__b0_9_9 AS Nullable(Float64)) AS q__b0_9_9,
  CAST(md_groups.q__b0_9_10 AS Nullable(Float64)) AS q__b0_9_10,
  CAST(md_groups.q__b0_9_11 AS Nullable(Float64)) AS q__b0_9_11,
  CAST(md_groups.q__b0_9_12 AS Nullable(Float64)) AS q__b0_9_12,
  CAST(md_groups.q__b0_9_13 AS Nullable(Float64)) AS q__b0_9_13,
  CAST(md_groups.q__b0_10_10 AS Nullable(Float64)) AS q__b0_10_10,
  CAST(md_groups.q__b0_10_11 AS Nullable(Float64)) AS q__b0_10_11,
  CAST(md_groups.q__b0_10_12 AS Nullable(Float64)) AS q__b0_10_12,
  CAST(md_groups.q__b0_10_13 AS Nullable(Float64)) AS q__b0_10_13,
  CAST(md_groups.q__b0_11_11 AS Nullable(Float64)) AS q__b0_11_11,
  CAST(md_groups.q__b0_11_12 AS Nullable(Float64)) AS q__b0_11_12,
  CAST(md_groups.q__b0_11_13 AS Nullable(Float64)) AS q__b0_11_13,
  CAST(md_groups.q__b0_12_12 AS Nullable(Float64)) AS q__b0_12_12,
  CAST(md_groups.q__b0_12_13 AS Nullable(Float64)) AS q__b0_12_13,
  CAST(md_groups.q__b0_13_13 AS Nullable(Float64)) AS q__b0_13_13,
  CAST(md_groups.q__b0_14_14 AS Nullable(Float64)) AS q__b0_14_14,
  CAST(md_groups.q__b0_15_15 AS Nullable(Float64)) AS q__b0_15_15,
  CAST(md_groups.q__b0_16_16 AS Nullable(Float64)) AS q__b0_16_16,
  CAST(md_groups.q__b0_16_17 AS Nullable(Float64)) AS q__b0_16_17,
  CAST(md_groups.q__b0_17_17 AS Nullable(Float64)) AS q__b0_17_17,
  CAST(md_groups.k__b0_0 AS Nullable(Float64)) AS k__b0_0,
  CAST(md_groups.a__b0_0 AS Nullable(Float64)) AS a__b0_0,
  CAST(md_groups.z__b0_0 AS Nullable(Float64)) AS z__b0_0,
  CAST(md_groups.k__b0_1 AS Nullable(Float64)) AS k__b0_1,
  CAST(md_groups.a__b0_1 AS Nullable(Float64)) AS a__b0_1,
  CAST(md_groups.z__b0_1 AS Nullable(Float64)) AS z__b0_1,
  CAST(md_groups.k__b0_2 AS Nullable(Float64)) AS k__b0_2,
  CAST(md_groups.a__b0_2 AS Nullable(Float64)) AS a__b0_2,
  CAST(md_groups.z__b0_2 AS Nullable(Float64)) AS z__b0_2,
  CAST(md_groups.k__b0_3 AS Nullable(Float64)) AS k__b0_3,
  CAST(md_groups.a__b0_3 AS Nullable(Float64)) AS a__b0_3,
  CAST(md_groups.z__b0_3 AS Nullable(Float64)) AS z__b0_3,
  CAST(md_groups.k__b0_4 AS Nullable(Float64)) AS k__b0_4,
  CAST(md_groups.a__b0_4 AS Nullable(Float64)) AS a__b0_4,
  CAST(md_groups.z__b0_4 AS Nullable(Float64)) AS z__b0_4,
  CAST(md_groups.k__b0_5 AS Nullable(Float64)) AS k__b0_5,
  CAST(md_groups.a__b0_5 AS Nullable(Float64)) AS a__b0_5,
  CAST(md_groups.z__b0_5 AS Nullable(Float64)) AS z__b0_5,
  CAST(md_groups.k__b0_6 AS Nullable(Float64)) AS k__b0_6,
  CAST(md_groups.a__b0_6 AS Nullable(Float64)) AS a__b0_6,
  CAST(md_groups.z__b0_6 AS Nullable(Float64)) AS z__b0_6,
  CAST(md_groups.k__b0_7 AS Nullable(Float64)) AS k__b0_7,
  CAST(md_groups.a__b0_7 AS Nullable(Float64)) AS a__b0_7,
  CAST(md_groups.z__b0_7 AS Nullable(Float64)) AS z__b0_7,
  CAST(md_groups.k__b0_8 AS Nullable(Float64)) AS k__b0_8,
  CAST(md_groups.a__b0_8 AS Nullable(Float64)) AS a__b0_8,
  CAST(md_groups.z__b0_8 AS Nullable(Float64)) AS z__b0_8,
  CAST(md_groups.k__b0_9 AS Nullable(Float64)) AS k__b0_9,
  CAST(md_groups.a__b0_9 AS Nullable(Float64)) AS a__b0_9,
  CAST(md_groups.z__b0_9 AS Nullable(Float64)) AS z__b0_9,
  CAST(md_groups.k__b0_10 AS Nullable(Float64)) AS k__b0_10,
  CAST(md_groups.a__b0_10 AS Nullable(Float64)) AS a__b0_10,
  CAST(md_groups.z__b0_10 AS Nullable(Float64)) AS z__b0_10,
  CAST(md_groups.k__b0_11 AS Nullable(Float64)) AS k__b0_11,
  CAST(md_groups.a__b0_11 AS Nullable(Float64)) AS a__b0_11,
  CAST(md_groups.z__b0_11 AS Nullable(Float64)) AS z__b0_11,
  CAST(md_groups.k__b0_12 AS Nullable(Float64)) AS k__b0_12,
  CAST(md_groups.a__b0_12 AS Nullable(Float64)) AS a__b0_12,
  CAST(md_groups.z__b0_12 AS Nullable(Float64)) AS z__b0_12,
  CAST(md_groups.k__b0_13 AS Nullable(Float64)) AS k__b0_13,
  CAST(md_groups.a__b0_13 AS Nullable(Float64)) AS a__b0_13,
  CAST(md_groups.z__b0_13 AS Nullable(Float64)) AS z__b0_13,
  CAST(md_groups.k__b0_14 AS Nullable(Float64)) AS k__b0_14,
  CAST(md_groups.a__b0_14 AS Nullable(Float64)) AS a__b0_14,
  CAST(md_groups.z__b0_14 AS Nullable(Float64)) AS z__b0_14,
  CAST(md_groups.k__b0_15 AS Nullable(Float64)) AS k__b0_15,
  CAST(md_groups.a__b0_15 AS Nullable(Float64)) AS a__b0_15,
  CAST(md_groups.z__b0_15 AS Nullable(Float64)) AS z__b0_15,
  CAST(md_groups.k__b0_16 AS Nullable(Float64)) AS k__b0_16,
  CAST(md_groups.a__b0_16 AS Nullable(Float64)) AS a__b0_16,
  CAST(md_groups.z__b0_16 AS Nullable(Float64)) AS z__b0_16,
  CAST(md_groups.k__b0_17 AS Nullable(Float64)) AS k__b0_17,
  CAST(md_groups.a__b0_17 AS Nullable(Float64)) AS a__b0_17,
  CAST(md_groups.z__b0_17 AS Nullable(Float64)) AS z__b0_17,
  CAST(md_groups.w__b0_9 AS Nullable(Float64)) AS w__b0_9,
  CAST(NULL AS Nullable(Float64)) AS quantile_total,
  CAST(NULL AS Nullable(Float64)) AS quantile_estimate,
  CAST(NULL AS Nullable(Float64)) AS quantile_lower,
  CAST(NULL AS Nullable(Float64)) AS quantile_upper,
  CAST(NULL AS Nullable(Float64)) AS quantile_low,
  CAST(NULL AS Nullable(Float64)) AS quantile_rows_here,
  CAST(NULL AS Nullable(Float64)) AS quantile_low_low,
  CAST(NULL AS Nullable(Float64)) AS quantile_low_rows,
  CAST(NULL AS Nullable(Float64)) AS quantile_rows_rows,
  CAST(NULL AS Nullable(Int64)) AS seen_us,
  CAST(NULL AS Nullable(Int64)) AS entered_units,
  CAST(NULL AS Nullable(Int64)) AS entered_again
FROM (
  SELECT 0 AS arm, 0 AS mixed, 0 AS epoch
  UNION ALL SELECT 0 AS arm, 1 AS mixed, 0 AS epoch
  UNION ALL SELECT 1 AS arm, 0 AS mixed, 0 AS epoch
  UNION ALL SELECT 1 AS arm, 1 AS mixed, 0 AS epoch
) AS arms
CROSS JOIN md_exposure_audit
CROSS JOIN md_percentiles
CROSS JOIN md_centres
LEFT JOIN md_arm_counts
  ON md_arm_counts.arm = arms.arm
  AND md_arm_counts.mixed = arms.mixed
  AND md_arm_counts.epoch = arms.epoch
LEFT JOIN md_groups
  ON md_groups.arm = arms.arm
  AND md_groups.mixed = arms.mixed
  AND md_groups.epoch = arms.epoch
UNION ALL
SELECT
  'entered' AS kind,
  CAST(arm AS Nullable(Int64)) AS arm,
  CAST(mixed AS Nullable(Int64)) AS mixed,
  CAST(epoch AS Nullable(Int64)) AS epoch,
  CAST(NULL AS Nullable(Int64)) AS units_assigned,
  CAST(NULL AS Nullable(Int64)) AS units_in_population,
  CAST(NULL AS Nullable(Int64)) AS units_analysed,
  CAST(NULL AS Nullable(Int64)) AS audit_rows,
  CAST(NULL AS Nullable(Int64)) AS audit_null_unit,
  CAST(NULL AS Nullable(Int64)) AS audit_null_time,
  CAST(NULL AS Nullable(Int64)) AS audit_before_start,
  CAST(NULL AS Nullable(Int64)) AS audit_on_or_after_end,
  CAST(NULL AS Nullable(Int64)) AS audit_after_as_of,
  CAST(NULL AS Nullable(Int64)) AS audit_not_loaded,
  CAST(NULL AS Nullable(Int64)) AS audit_unknown_arm,
  CAST(NULL AS Nullable(Float64)) AS p__order_value__numerator__upper,
  CAST(NULL AS Nullable(Float64)) AS h__order_value__numerator__upper,
  CAST(NULL AS Nullable(Float64)) AS c__b0_0,
  CAST(NULL AS Nullable(Float64)) AS c__b0_1,
  CAST(NULL AS Nullable(Float64)) AS c__b0_2,
  CAST(NULL AS Nullable(Float64)) AS c__b0_4,
  CAST(NULL AS Nullable(Float64)) AS c__b0_5,
  CAST(NULL AS Nullable(Float64)) AS c__b0_7,
  CAST(NULL AS Nullable(Float64)) AS c__b0_8,
  CAST(NULL AS Nullable(Float64)) AS c__b0_9,
  CAST(NULL AS Nullable(Float64)) AS c__b0_10,
  CAST(NULL AS Nullable(Float64)) AS c__b0_11,
  CAST(NULL AS Nullable(Float64)) AS c__b0_14,
  CAST(NULL AS Nullable(Float64)) AS c__b0_15,
  CAST(NULL AS Nullable(Float64)) AS c__b0_16,
  CAST(NULL AS Nullable(Float64)) AS c__b0_17,
  CAST(NULL AS Nullable(Int64)) AS group_rows,
  CAST(NULL AS Nullable(Float64)) AS n__mature_7d,
  CAST(NULL AS Nullable(Float64)) AS s__b0_0,
  CAST(NULL AS Nullable(Float64)) AS s__b0_1,
  CAST(NULL AS Nullable(Float64)) AS s__b0_2,
  CAST(NULL AS Nullable(Float64)) AS s__b0_3,
  CAST(NULL AS Nullable(Float64)) AS s__b0_4,
  CAST(NULL AS Nullable(Float64)) AS s__b0_5,
  CAST(NULL AS Nullable(Float64)) AS s__b0_6,
  CAST(NULL AS Nullable(Float64)) AS s__b0_7,
  CAST(NULL AS Nullable(Float64)) AS s__b0_8,
  CAST(NULL AS Nullable(Float64)) AS s__b0_9,
  CAST(NULL AS Nullable(Float64)) AS s__b0_10,
  CAST(NULL AS Nullable(Float64)) AS s__b0_11,
  CAST(NULL AS Nullable(Float64)) AS s__b0_12,
  CAST(NULL AS Nullable(Float64)) AS s__b0_13,
  CAST(NULL AS Nullable(Float64)) AS s__b0_14,
  CAST(NULL AS Nullable(Float64)) AS s__b0_15,
  CAST(NULL AS Nullable(Float64)) AS s__b0_16,
  CAST(NULL AS Nullable(Float64)) AS s__b0_17,
  CAST(NULL AS Nullable(Float64)) AS q__b0_0_0,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_1,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_2,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_2_2,
  CAST(NULL AS Nullable(Float64)) AS q__b0_2_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_3_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_4,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_5,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_5,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_6_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_7_7,
  CAST(NULL AS Nullable(Float64)) AS q__b0_8_8,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_9,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_10,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_11,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_12,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_10_10,
  CAST(NULL AS Nullable(Float64)) AS q__b0_10_11,
  CAST(NULL AS Nullable(Float64)) AS q__b0_10_12,
  CAST(NULL AS Nullable(Float64)) AS q__b0_10_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_11_11,
  CAST(NULL AS Nullable(Float64)) AS q__b0_11_12,
  CAST(NULL AS Nullable(Float64)) AS q__b0_11_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_12_12,
  CAST(NULL AS Nullable(Float64)) AS q__b0_12_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_13_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_14_14,
  CAST(NULL AS Nullable(Float64)) AS q__b0_15_15,
  CAST(NULL AS Nullable(Float64)) AS q__b0_16_16,
  CAST(NULL AS Nullable(Float64)) AS q__b0_16_17,
  CAST(NULL AS Nullable(Float64)) AS q__b0_17_17,
  CAST(NULL AS Nullable(Float64)) AS k__b0_0,
  CAST(NULL AS Nullable(Float64)) AS a__b0_0,
  CAST(NULL AS Nullable(Float64)) AS z__b0_0,
  CAST(NULL AS Nullable(Float64)) AS k__b0_1,
  CAST(NULL AS Nullable(Float64)) AS a__b0_1,
  CAST(NULL AS Nullable(Float64)) AS z__b0_1,
  CAST(NULL AS Nullable(Float64)) AS k__b0_2,
  CAST(NULL AS Nullable(Float64)) AS a__b0_2,
  CAST(NULL AS Nullable(Float64)) AS z__b0_2,
  CAST(NULL AS Nullable(Float64)) AS k__b0_3,
  CAST(NULL AS Nullable(Float64)) AS a__b0_3,
  CAST(NULL AS Nullable(Float64)) AS z__b0_3,
  CAST(NULL AS Nullable(Float64)) AS k__b0_4,
  CAST(NULL AS Nullable(Float64)) AS a__b0_4,
  CAST(NULL AS Nullable(Float64)) AS z__b0_4,
  CAST(NULL AS Nullable(Float64)) AS k__b0_5,
  CAST(NULL AS Nullable(Float64)) AS a__b0_5,
  CAST(NULL AS Nullable(Float64)) AS z__b0_5,
  CAST(NULL AS Nullable(Float64)) AS k__b0_6,
  CAST(NULL AS Nullable(Float64)) AS a__b0_6,
  CAST(NULL AS Nullable(Float64)) AS z__b0_6,
  CAST(NULL AS Nullable(Float64)) AS k__b0_7,
  CAST(NULL AS Nullable(Float64)) AS a__b0_7,
  CAST(NULL AS Nullable(Float64)) AS z__b0_7,
  CAST(NULL AS Nullable(Float64)) AS k__b0_8,
  CAST(NULL AS Nullable(Float64)) AS a__b0_8,
  CAST(NULL AS Nullable(Float64)) AS z__b0_8,
  CAST(NULL AS Nullable(Float64)) AS k__b0_9,
  CAST(NULL AS Nullable(Float64)) AS a__b0_9,
  CAST(NULL AS Nullable(Float64)) AS z__b0_9,
  CAST(NULL AS Nullable(Float64)) AS k__b0_10,
  CAST(NULL AS Nullable(Float64)) AS a__b0_10,
  CAST(NULL AS Nullable(Float64)) AS z__b0_10,
  CAST(NULL AS Nullable(Float64)) AS k__b0_11,
  CAST(NULL AS Nullable(Float64)) AS a__b0_11,
  CAST(NULL AS Nullable(Float64)) AS z__b0_11,
  CAST(NULL AS Nullable(Float64)) AS k__b0_12,
  CAST(NULL AS Nullable(Float64)) AS a__b0_12,
  CAST(NULL AS Nullable(Float64)) AS z__b0_12,
  CAST(NULL AS Nullable(Float64)) AS k__b0_13,
  CAST(NULL AS Nullable(Float64)) AS a__b0_13,
  CAST(NULL AS Nullable(Float64)) AS z__b0_13,
  CAST(NULL AS Nullable(Float64)) AS k__b0_14,
  CAST(NULL AS Nullable(Float64)) AS a__b0_14,
  CAST(NULL AS Nullable(Float64)) AS z__b0_14,
  CAST(NULL AS Nullable(Float64)) AS k__b0_15,
  CAST(NULL AS Nullable(Float64)) AS a__b0_15,
  CAST(NULL AS Nullable(Float64)) AS z__b0_15,
  CAST(NULL AS Nullable(Float64)) AS k__b0_16,
  CAST(NULL AS Nullable(Float64)) AS a__b0_16,
  CAST(NULL AS Nullable(Float64)) AS z__b0_16,
  CAST(NULL AS Nullable(Float64)) AS k__b0_17,
  CAST(NULL AS Nullable(Float64)) AS a__b0_17,
  CAST(NULL AS Nullable(Float64)) AS z__b0_17,
  CAST(NULL AS Nullable(Float64)) AS w__b0_9,
  CAST(NULL AS Nullable(Float64)) AS quantile_total,
  CAST(NULL AS Nullable(Float64)) AS quantile_estimate,
  CAST(NULL AS Nullable(Float64)) AS quantile_lower,
  CAST(NULL AS Nullable(Float64)) AS quantile_upper,
  CAST(NULL AS Nullable(Float64)) AS quantile_low,
  CAST(NULL AS Nullable(Float64)) AS quantile_rows_here,
  CAST(NULL AS Nullable(Float64)) AS quantile_low_low,
  CAST(NULL AS Nullable(Float64)) AS quantile_low_rows,
  CAST(NULL AS Nullable(Float64)) AS quantile_rows_rows,
  CAST(day_us AS Nullable(Int64)) AS seen_us,
  CAST(entered_units AS Nullable(Int64)) AS entered_units,
  CAST(entered_again AS Nullable(Int64)) AS entered_again
FROM md_entry_days
UNION ALL
SELECT
  'quantile:amount_p90' AS kind,
  CAST(arm AS Nullable(Int64)) AS arm,
  CAST(NULL AS Nullable(Int64)) AS mixed,
  CAST(NULL AS Nullable(Int64)) AS epoch,
  CAST(NULL AS Nullable(Int64)) AS units_assigned,
  CAST(NULL AS Nullable(Int64)) AS units_in_population,
  CAST(NULL AS Nullable(Int64)) AS units_analysed,
  CAST(NULL AS Nullable(Int64)) AS audit_rows,
  CAST(NULL AS Nullable(Int64)) AS audit_null_unit,
  CAST(NULL AS Nullable(Int64)) AS audit_null_time,
  CAST(NULL AS Nullable(Int64)) AS audit_before_start,
  CAST(NULL AS Nullable(Int64)) AS audit_on_or_after_end,
  CAST(NULL AS Nullable(Int64)) AS audit_after_as_of,
  CAST(NULL AS Nullable(Int64)) AS audit_not_loaded,
  CAST(NULL AS Nullable(Int64)) AS audit_unknown_arm,
  CAST(NULL AS Nullable(Float64)) AS p__order_value__numerator__upper,
  CAST(NULL AS Nullable(Float64)) AS h__order_value__numerator__upper,
  CAST(NULL AS Nullable(Float64)) AS c__b0_0,
  CAST(NULL AS Nullable(Float64)) AS c__b0_1,
  CAST(NULL AS Nullable(Float64)) AS c__b0_2,
  CAST(NULL AS Nullable(Float64)) AS c__b0_4,
  CAST(NULL AS Nullable(Float64)) AS c__b0_5,
  CAST(NULL AS Nullable(Float64)) AS c__b0_7,
  CAST(NULL AS Nullable(Float64)) AS c__b0_8,
  CAST(NULL AS Nullable(Float64)) AS c__b0_9,
  CAST(NULL AS Nullable(Float64)) AS c__b0_10,
  CAST(NULL AS Nullable(Float64)) AS c__b0_11,
  CAST(NULL AS Nullable(Float64)) AS c__b0_14,
  CAST(NULL AS Nullable(Float64)) AS c__b0_15,
  CAST(NULL AS Nullable(Float64)) AS c__b0_16,
  CAST(NULL AS Nullable(Float64)) AS c__b0_17,
  CAST(NULL AS Nullable(Int64)) AS group_rows,
  CAST(NULL AS Nullable(Float64)) AS n__mature_7d,
  CAST(NULL AS Nullable(Float64)) AS s__b0_0,
  CAST(NULL AS Nullable(Float64)) AS s__b0_1,
  CAST(NULL AS Nullable(Float64)) AS s__b0_2,
  CAST(NULL AS Nullable(Float64)) AS s__b0_3,
  CAST(NULL AS Nullable(Float64)) AS s__b0_4,
  CAST(NULL AS Nullable(Float64)) AS s__b0_5,
  CAST(NULL AS Nullable(Float64)) AS s__b0_6,
  CAST(NULL AS Nullable(Float64)) AS s__b0_7,
  CAST(NULL AS Nullable(Float64)) AS s__b0_8,
  CAST(NULL AS Nullable(Float64)) AS s__b0_9,
  CAST(NULL AS Nullable(Float64)) AS s__b0_10,
  CAST(NULL AS Nullable(Float64)) AS s__b0_11,
  CAST(NULL AS Nullable(Float64)) AS s__b0_12,
  CAST(NULL AS Nullable(Float64)) AS s__b0_13,
  CAST(NULL AS Nullable(Float64)) AS s__b0_14,
  CAST(NULL AS Nullable(Float64)) AS s__b0_15,
  CAST(NULL AS Nullable(Float64)) AS s__b0_16,
  CAST(NULL AS Nullable(Float64)) AS s__b0_17,
  CAST(NULL AS Nullable(Float64)) AS q__b0_0_0,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_1,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_2,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_2_2,
  CAST(NULL AS Nullable(Float64)) AS q__b0_2_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_3_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_4,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_5,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_5,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_6_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_7_7,
  CAST(NULL AS Nullable(Float64)) AS q__b0_8_8,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_9,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_10,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_11,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_12,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_10_10,
  CAST(NULL AS Nullable(Float64)) AS q__b0_10_11,
  CAST(NULL AS Nullable(Float64)) AS q__b0_10_12,
  CAST(NULL AS Nullable(Float64)) AS q__b0_10_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_11_11,
  CAST(NULL AS Nullable(Float64)) AS q__b0_11_12,
  CAST(NULL AS Nullable(Float64)) AS q__b0_11_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_12_12,
  CAST(NULL AS Nullable(Float64)) AS q__b0_12_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_13_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_14_14,
  CAST(NULL AS Nullable(Float64)) AS q__b0_15_15,
  CAST(NULL AS Nullable(Float64)) AS q__b0_16_16,
  CAST(NULL AS Nullable(Float64)) AS q__b0_16_17,
  CAST(NULL AS Nullable(Float64)) AS q__b0_17_17,
  CAST(NULL AS Nullable(Float64)) AS k__b0_0,
  CAST(NULL AS Nullable(Float64)) AS a__b0_0,
  CAST(NULL AS Nullable(Float64)) AS z__b0_0,
  CAST(NULL AS Nullable(Float64)) AS k__b0_1,
  CAST(NULL AS Nullable(Float64)) AS a__b0_1,
  CAST(NULL AS Nullable(Float64)) AS z__b0_1,
  CAST(NULL AS Nullable(Float64)) AS k__b0_2,
  CAST(NULL AS Nullable(Float64)) AS a__b0_2,
  CAST(NULL AS Nullable(Float64)) AS z__b0_2,
  CAST(NULL AS Nullable(Float64)) AS k__b0_3,
  CAST(NULL AS Nullable(Float64)) AS a__b0_3,
  CAST(NULL AS Nullable(Float64)) AS z__b0_3,
  CAST(NULL AS Nullable(Float64)) AS k__b0_4,
  CAST(NULL AS Nullable(Float64)) AS a__b0_4,
  CAST(NULL AS Nullable(Float64)) AS z__b0_4,
  CAST(NULL AS Nullable(Float64)) AS k__b0_5,
  CAST(NULL AS Nullable(Float64)) AS a__b0_5,
  CAST(NULL AS Nullable(Float64)) AS z__b0_5,
  CAST(NULL AS Nullable(Float64)) AS k__b0_6,
  CAST(NULL AS Nullable(Float64)) AS a__b0_6,
  CAST(NULL AS Nullable(Float64)) AS z__b0_6,
  CAST(NULL AS Nullable(Float64)) AS k__b0_7,
  CAST(NULL AS Nullable(Float64)) AS a__b0_7,
  CAST(NULL AS Nullable(Float64)) AS z__b0_7,
  CAST(NULL AS Nullable(Float64)) AS k__b0_8,
  CAST(NULL AS Nullable(Float64)) AS a__b0_8,
  CAST(NULL AS Nullable(Float64)) AS z__b0_8,
  CAST(NULL AS Nullable(Float64)) AS k__b0_9,
  CAST(NULL AS Nullable(Float64)) AS a__b0_9,
  CAST(NULL AS Nullable(Float64)) AS z__b0_9,
  CAST(NULL AS Nullable(Float64)) AS k__b0_10,
  CAST(NULL AS Nullable(Float64)) AS a__b0_10,
  CAST(NULL AS Nullable(Float64)) AS z__b0_10,
  CAST(NULL AS Nullable(Float64)) AS k__b0_11,
  CAST(NULL AS Nullable(Float64)) AS a__b0_11,
  CAST(NULL AS Nullable(Float64)) AS z__b0_11,
  CAST(NULL AS Nullable(Float64)) AS k__b0_12,
  CAST(NULL AS Nullable(Float64)) AS a__b0_12,
  CAST(NULL AS Nullable(Float64)) AS z__b0_12,
  CAST(NULL AS Nullable(Float64)) AS k__b0_13,
  CAST(NULL AS Nullable(Float64)) AS a__b0_13,
  CAST(NULL AS Nullable(Float64)) AS z__b0_13,
  CAST(NULL AS Nullable(Float64)) AS k__b0_14,
  CAST(NULL AS Nullable(Float64)) AS a__b0_14,
  CAST(NULL AS Nullable(Float64)) AS z__b0_14,
  CAST(NULL AS Nullable(Float64)) AS k__b0_15,
  CAST(NULL AS Nullable(Float64)) AS a__b0_15,
  CAST(NULL AS Nullable(Float64)) AS z__b0_15,
  CAST(NULL AS Nullable(Float64)) AS k__b0_16,
  CAST(NULL AS Nullable(Float64)) AS a__b0_16,
  CAST(NULL AS Nullable(Float64)) AS z__b0_16,
  CAST(NULL AS Nullable(Float64)) AS k__b0_17,
  CAST(NULL AS Nullable(Float64)) AS a__b0_17,
  CAST(NULL AS Nullable(Float64)) AS z__b0_17,
  CAST(NULL AS Nullable(Float64)) AS w__b0_9,
  CAST(total AS Nullable(Float64)) AS quantile_total,
  CAST(estimate AS Nullable(Float64)) AS quantile_estimate,
  CAST(lower AS Nullable(Float64)) AS quantile_lower,
  CAST(upper AS Nullable(Float64)) AS quantile_upper,
  CAST(low AS Nullable(Float64)) AS quantile_low,
  CAST(rows_here AS Nullable(Float64)) AS quantile_rows_here,
  CAST(low_low AS Nullable(Float64)) AS quantile_low_low,
  CAST(low_rows AS Nullable(Float64)) AS quantile_low_rows,
  CAST(rows_rows AS Nullable(Float64)) AS quantile_rows_rows,
  CAST(NULL AS Nullable(Int64)) AS seen_us,
  CAST(NULL AS Nullable(Int64)) AS entered_units,
  CAST(NULL AS Nullable(Int64)) AS entered_again
FROM md_quantile_of_amount_p90
UNION ALL
SELECT
  'quantile:median' AS kind,
  CAST(arm AS Nullable(Int64)) AS arm,
  CAST(NULL AS Nullable(Int64)) AS mixed,
  CAST(NULL AS Nullable(Int64)) AS epoch,
  CAST(NULL AS Nullable(Int64)) AS units_assigned,
  CAST(NULL AS Nullable(Int64)) AS units_in_population,
  CAST(NULL AS Nullable(Int64)) AS units_analysed,
  CAST(NULL AS Nullable(Int64)) AS audit_rows,
  CAST(NULL AS Nullable(Int64)) AS audit_null_unit,
  CAST(NULL AS Nullable(Int64)) AS audit_null_time,
  CAST(NULL AS Nullable(Int64)) AS audit_before_start,
  CAST(NULL AS Nullable(Int64)) AS audit_on_or_after_end,
  CAST(NULL AS Nullable(Int64)) AS audit_after_as_of,
  CAST(NULL AS Nullable(Int64)) AS audit_not_loaded,
  CAST(NULL AS Nullable(Int64)) AS audit_unknown_arm,
  CAST(NULL AS Nullable(Float64)) AS p__order_value__numerator__upper,
  CAST(NULL AS Nullable(Float64)) AS h__order_value__numerator__upper,
  CAST(NULL AS Nullable(Float64)) AS c__b0_0,
  CAST(NULL AS Nullable(Float64)) AS c__b0_1,
  CAST(NULL AS Nullable(Float64)) AS c__b0_2,
  CAST(NULL AS Nullable(Float64)) AS c__b0_4,
  CAST(NULL AS Nullable(Float64)) AS c__b0_5,
  CAST(NULL AS Nullable(Float64)) AS c__b0_7,
  CAST(NULL AS Nullable(Float64)) AS c__b0_8,
  CAST(NULL AS Nullable(Float64)) AS c__b0_9,
  CAST(NULL AS Nullable(Float64)) AS c__b0_10,
  CAST(NULL AS Nullable(Float64)) AS c__b0_11,
  CAST(NULL AS Nullable(Float64)) AS c__b0_14,
  CAST(NULL AS Nullable(Float64)) AS c__b0_15,
  CAST(NULL AS Nullable(Float64)) AS c__b0_16,
  CAST(NULL AS Nullable(Float64)) AS c__b0_17,
  CAST(NULL AS Nullable(Int64)) AS group_rows,
  CAST(NULL AS Nullable(Float64)) AS n__mature_7d,
  CAST(NULL AS Nullable(Float64)) AS s__b0_0,
  CAST(NULL AS Nullable(Float64)) AS s__b0_1,
  CAST(NULL AS Nullable(Float64)) AS s__b0_2,
  CAST(NULL AS Nullable(Float64)) AS s__b0_3,
  CAST(NULL AS Nullable(Float64)) AS s__b0_4,
  CAST(NULL AS Nullable(Float64)) AS s__b0_5,
  CAST(NULL AS Nullable(Float64)) AS s__b0_6,
  CAST(NULL AS Nullable(Float64)) AS s__b0_7,
  CAST(NULL AS Nullable(Float64)) AS s__b0_8,
  CAST(NULL AS Nullable(Float64)) AS s__b0_9,
  CAST(NULL AS Nullable(Float64)) AS s__b0_10,
  CAST(NULL AS Nullable(Float64)) AS s__b0_11,
  CAST(NULL AS Nullable(Float64)) AS s__b0_12,
  CAST(NULL AS Nullable(Float64)) AS s__b0_13,
  CAST(NULL AS Nullable(Float64)) AS s__b0_14,
  CAST(NULL AS Nullable(Float64)) AS s__b0_15,
  CAST(NULL AS Nullable(Float64)) AS s__b0_16,
  CAST(NULL AS Nullable(Float64)) AS s__b0_17,
  CAST(NULL AS Nullable(Float64)) AS q__b0_0_0,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_1,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_2,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_2_2,
  CAST(NULL AS Nullable(Float64)) AS q__b0_2_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_3_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_4,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_5,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_5,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_6_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_7_7,
  CAST(NULL AS Nullable(Float64)) AS q__b0_8_8,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_9,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_10,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_11,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_12,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_10_10,
  CAST(NULL AS Nullable(Float64)) AS q__b0_10_11,
  CAST(NULL AS Nullable(Float64)) AS q__b0_10_12,
  CAST(NULL AS Nullable(Float64)) AS q__b0_10_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_11_11,
  CAST(NULL AS Nullable(Float64)) AS q__b0_11_12,
  CAST(NULL AS Nullable(Float64)) AS q__b0_11_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_12_12,
  CAST(NULL AS Nullable(Float64)) AS q__b0_12_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_13_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_14_14,
  CAST(NULL AS Nullable(Float64)) AS q__b0_15_15,
  CAST(NULL AS Nullable(Float64)) AS q__b0_16_16,
  CAST(NULL AS Nullable(Float64)) AS q__b0_16_17,
  CAST(NULL AS Nullable(Float64)) AS q__b0_17_17,
  CAST(NULL AS Nullable(Float64)) AS k__b0_0,
  CAST(NULL AS Nullable(Float64)) AS a__b0_0,
  CAST(NULL AS Nullable(Float64)) AS z__b0_0,
  CAST(NULL AS Nullable(Float64)) AS k__b0_1,
  CAST(NULL AS Nullable(Float64)) AS a__b0_1,
  CAST(NULL AS Nullable(Float64)) AS z__b0_1,
  CAST(NULL AS Nullable(Float64)) AS k__b0_2,
  CAST(NULL AS Nullable(Float64)) AS a__b0_2,
  CAST(NULL AS Nullable(Float64)) AS z__b0_2,
  CAST(NULL AS Nullable(Float64)) AS k__b0_3,
  CAST(NULL AS Nullable(Float64)) AS a__b0_3,
  CAST(NULL AS Nullable(Float64)) AS z__b0_3,
  CAST(NULL AS Nullable(Float64)) AS k__b0_4,
  CAST(NULL AS Nullable(Float64)) AS a__b0_4,
  CAST(NULL AS Nullable(Float64)) AS z__b0_4,
  CAST(NULL AS Nullable(Float64)) AS k__b0_5,
  CAST(NULL AS Nullable(Float64)) AS a__b0_5,
  CAST(NULL AS Nullable(Float64)) AS z__b0_5,
  CAST(NULL AS Nullable(Float64)) AS k__b0_6,
  CAST(NULL AS Nullable(Float64)) AS a__b0_6,
  CAST(NULL AS Nullable(Float64)) AS z__b0_6,
  CAST(NULL AS Nullable(Float64)) AS k__b0_7,
  CAST(NULL AS Nullable(Float64)) AS a__b0_7,
  CAST(NULL AS Nullable(Float64)) AS z__b0_7,
  CAST(NULL AS Nullable(Float64)) AS k__b0_8,
  CAST(NULL AS Nullable(Float64)) AS a__b0_8,
  CAST(NULL AS Nullable(Float64)) AS z__b0_8,
  CAST(NULL AS Nullable(Float64)) AS k__b0_9,
  CAST(NULL AS Nullable(Float64)) AS a__b0_9,
  CAST(NULL AS Nullable(Float64)) AS z__b0_9,
  CAST(NULL AS Nullable(Float64)) AS k__b0_10,
  CAST(NULL AS Nullable(Float64)) AS a__b0_10,
  CAST(NULL AS Nullable(Float64)) AS z__b0_10,
  CAST(NULL AS Nullable(Float64)) AS k__b0_11,
  CAST(NULL AS Nullable(Float64)) AS a__b0_11,
  CAST(NULL AS Nullable(Float64)) AS z__b0_11,
  CAST(NULL AS Nullable(Float64)) AS k__b0_12,
  CAST(NULL AS Nullable(Float64)) AS a__b0_12,
  CAST(NULL AS Nullable(Float64)) AS z__b0_12,
  CAST(NULL AS Nullable(Float64)) AS k__b0_13,
  CAST(NULL AS Nullable(Float64)) AS a__b0_13,
  CAST(NULL AS Nullable(Float64)) AS z__b0_13,
  CAST(NULL AS Nullable(Float64)) AS k__b0_14,
  CAST(NULL AS Nullable(Float64)) AS a__b0_14,
  CAST(NULL AS Nullable(Float64)) AS z__b0_14,
  CAST(NULL AS Nullable(Float64)) AS k__b0_15,
  CAST(NULL AS Nullable(Float64)) AS a__b0_15,
  CAST(NULL AS Nullable(Float64)) AS z__b0_15,
  CAST(NULL AS Nullable(Float64)) AS k__b0_16,
  CAST(NULL AS Nullable(Float64)) AS a__b0_16,
  CAST(NULL AS Nullable(Float64)) AS z__b0_16,
  CAST(NULL AS Nullable(Float64)) AS k__b0_17,
  CAST(NULL AS Nullable(Float64)) AS a__b0_17,
  CAST(NULL AS Nullable(Float64)) AS z__b0_17,
  CAST(NULL AS Nullable(Float64)) AS w__b0_9,
  CAST(total AS Nullable(Float64)) AS quantile_total,
  CAST(estimate AS Nullable(Float64)) AS quantile_estimate,
  CAST(lower AS Nullable(Float64)) AS quantile_lower,
  CAST(upper AS Nullable(Float64)) AS quantile_upper,
  CAST(NULL AS Nullable(Float64)) AS quantile_low,
  CAST(NULL AS Nullable(Float64)) AS quantile_rows_here,
  CAST(NULL AS Nullable(Float64)) AS quantile_low_low,
  CAST(NULL AS Nullable(Float64)) AS quantile_low_rows,
  CAST(NULL AS Nullable(Float64)) AS quantile_rows_rows,
  CAST(NULL AS Nullable(Int64)) AS seen_us,
  CAST(NULL AS Nullable(Int64)) AS entered_units,
  CAST(NULL AS Nullable(Int64)) AS entered_again
FROM md_quantile_of_median
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
