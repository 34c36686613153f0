-- metricdef 0.1.0: experiment test, dialect clickhouse
-- as of 2026-02-28 23:00:00.000000 UTC (rows at or after it do not count)
-- definitions 11685158d56291f0, sql 67c8b5998e0627bc
-- One row per arm, mixed or not: counts of units, then shifted sums, products and cubes of every column.
-- Timestamps are microseconds since 1970 in UTC; the session must be in UTC.

SET session_timezone = 'UTC', max_query_size = 1073741824;
SET max_ast_elements = 10000000, max_expanded_ast_elements = 10000000;
CREATE OR REPLACE TEMPORARY TABLE md_exposure_rows ENGINE = Memory AS
-- Exposures of this experiment. Arms are numbered in the order of their keys.
SELECT
  user_id AS unit,
  toUnixTimestamp64Micro(CAST(happened_at AS Nullable(DateTime64(6, 'UTC')))) AS ts_us,
  CASE CAST(arm AS Nullable(String)) WHEN 'control' THEN 0 WHEN 'treatment' THEN 1 END AS arm_code,
  platform AS e_assignments__platform
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
  fact_rows.ts_us AS ts_us,
  fact_rows.m_amount AS m_amount,
  fact_rows.f_1 AS f_1
FROM (
  SELECT
    user_id AS unit,
    toUnixTimestamp64Micro(CAST(happened_at AS Nullable(DateTime64(6, 'UTC')))) AS ts_us,
    amount AS m_amount,
    CASE WHEN (status = 'cart') THEN 1 ELSE 0 END AS f_1
  FROM orders
  WHERE CAST(happened_at AS Nullable(DateTime64(6, 'UTC'))) >= toDateTime64('2025-12-17 23:00:00.000000', 6, 'UTC')
    AND CAST(happened_at AS Nullable(DateTime64(6, 'UTC'))) < toDateTime64('2026-02-07 23:00:00.000000', 6, 'UTC')
) AS fact_rows
INNER JOIN md_entries
  ON md_entries.unit_id = fact_rows.unit
WHERE fact_rows.ts_us - md_entries.exposed_us >= -1209600000000 /* -14d */
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_triggers ENGINE = Memory AS
-- The first trigger of every unit, as time since its first exposure.
SELECT
  unit,
  MIN(since_us) AS delay_us
FROM md_facts_orders
WHERE since_us >= 0
  AND ts_us < 1769900400000000 /* 2026-01-31 23:00:00.000000 UTC */
  AND f_1 = 1
GROUP BY unit
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_units ENGINE = Memory AS
WITH
-- Values at first exposure; of rows at the same instant the smallest value.
md_entry_values AS (
  SELECT
    md_entries.unit AS unit,
    MIN(md_exposure_rows.e_assignments__platform) AS e_assignments__platform
  FROM md_entries
  INNER JOIN md_exposure_rows
    ON md_exposure_rows.unit = md_entries.unit_id
    AND md_exposure_rows.ts_us = md_entries.exposed_us
    AND md_exposure_rows.arm_code = md_entries.arm
  GROUP BY md_entries.unit
),

-- Attributes of units from users; the latest valid at first exposure; several are counted.
md_attributes_users AS (
  SELECT
    unit,
    COUNT(*) AS attribute_rows,
    MIN(valid_rows.e_users__age) AS e_users__age
  FROM (
    SELECT
      md_entries.unit AS unit,
      attribute_rows.e_users__age AS e_users__age
    FROM (
      SELECT
        user_id AS unit,
        age AS e_users__age
      FROM users
    ) AS attribute_rows
    INNER JOIN md_entries
      ON md_entries.unit_id = attribute_rows.unit
  ) AS valid_rows
  GROUP BY unit
),

-- One row per unit: its values from orders.
md_unit_orders AS (
  SELECT
    md_facts_orders.unit AS unit,
    SUM(CASE WHEN since_us - delay_us >= 0 AND since_us - delay_us < 604800000000 /* 7d */ THEN CAST(m_amount AS Nullable(Float64)) END) AS u_revenue,
    SUM(CASE WHEN since_us < 0 THEN CAST(m_amount AS Nullable(Float64)) END) AS u_revenue__pre,
    SUM(CASE WHEN since_us >= 0 AND since_us < 604800000000 /* 7d */ THEN CAST(m_amount AS Nullable(Float64)) END) AS u_revenue__exposed
  FROM md_facts_orders
  LEFT JOIN md_triggers
    ON md_triggers.unit = md_facts_orders.unit
  GROUP BY md_facts_orders.unit
)

-- One row per unit.
SELECT
  md_entries.unit AS unit,
  md_entries.arm AS arm,
  md_entries.mixed AS mixed,
  md_entries.epoch AS epoch,
  md_entries.exposed_us AS exposed_us,
  md_entries.exposed_us + md_triggers.delay_us AS anchor_us,
  md_entry_values.e_assignments__platform AS e_assignments__platform,
  md_attributes_users.e_users__age AS e_users__age,
  md_unit_orders.u_revenue AS u_revenue,
  md_unit_orders.u_revenue__pre AS u_revenue__pre,
  md_unit_orders.u_revenue__exposed AS u_revenue__exposed,
  md_attributes_users.attribute_rows AS rows_users,
  1 AS in_population
FROM md_entries
LEFT JOIN md_entry_values
  ON md_entry_values.unit = md_entries.unit
LEFT JOIN md_attributes_users
  ON md_attributes_users.unit = md_entries.unit
LEFT JOIN md_unit_orders
  ON md_unit_orders.unit = md_entries.unit
LEFT JOIN md_triggers
  ON md_triggers.unit = md_entries.unit
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_percentiles ENGINE = Memory AS
-- Limits from the data: p the percentile over all arms, h the median of what is not 0.
SELECT
  quantileExactInclusive(0.99)(CASE WHEN md_units.anchor_us IS NOT NULL AND md_units.anchor_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ AND COALESCE(md_units.u_revenue, 0) <> 0 THEN COALESCE(md_units.u_revenue, 0) END) AS p_revenue__upper,
  quantileExactInclusive(0.5)(CASE WHEN md_units.anchor_us IS NOT NULL AND md_units.anchor_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ AND COALESCE(md_units.u_revenue, 0) <> 0 THEN COALESCE(md_units.u_revenue, 0) END) AS h_revenue__upper,
  quantileExactInclusive(0.99)(CASE WHEN md_units.anchor_us IS NOT NULL AND md_units.anchor_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ AND COALESCE(md_units.u_revenue__pre, 0) <> 0 THEN COALESCE(md_units.u_revenue__pre, 0) END) AS p_revenue__pre__upper,
  quantileExactInclusive(0.5)(CASE WHEN md_units.anchor_us IS NOT NULL AND md_units.anchor_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ AND COALESCE(md_units.u_revenue__pre, 0) <> 0 THEN COALESCE(md_units.u_revenue__pre, 0) END) AS h_revenue__pre__upper
FROM md_units
WHERE in_population = 1
  AND mixed = 0
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_eligible ENGINE = Memory AS
-- Values of the units whose window is complete; NULL for the others.
SELECT
  md_units.arm AS arm,
  md_units.mixed AS mixed,
  md_units.epoch AS epoch,
  COALESCE('v' || CAST(md_units.e_assignments__platform AS Nullable(String)), 'n') AS k_0,
  COALESCE('v' || CAST(md_units.e_users__age AS Nullable(String)), 'n') AS k_1,
  CASE WHEN md_units.anchor_us IS NOT NULL AND md_units.anchor_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN 1 ELSE 0 END AS in_mature_7d,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN 1 ELSE 0 END AS in_exposed_mature_7d,
  CASE WHEN md_units.anchor_us IS NOT NULL AND md_units.anchor_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN COALESCE(md_units.u_revenue, 0) > md_percentiles.p_revenue__upper THEN md_percentiles.p_revenue__upper ELSE COALESCE(md_units.u_revenue, 0) END END AS v_revenue,
  CASE WHEN md_units.anchor_us IS NOT NULL AND md_units.anchor_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN COALESCE(md_units.u_revenue, 0) > md_percentiles.p_revenue__upper THEN 1 ELSE 0 END END AS c_revenue,
  CASE WHEN md_units.anchor_us IS NOT NULL AND md_units.anchor_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN COALESCE(md_units.u_revenue, 0) END AS v_revenue__uncapped,
  CASE WHEN md_units.anchor_us IS NOT NULL AND md_units.anchor_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN COALESCE(md_units.u_revenue__pre, 0) > md_percentiles.p_revenue__pre__upper THEN md_percentiles.p_revenue__pre__upper ELSE COALESCE(md_units.u_revenue__pre, 0) END END AS v_revenue__pre,
  CASE WHEN md_units.anchor_us IS NOT NULL AND md_units.anchor_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN COALESCE(md_units.u_revenue__pre, 0) > md_percentiles.p_revenue__pre__upper THEN 1 ELSE 0 END END AS c_revenue__pre,
  CASE WHEN md_units.anchor_us IS NOT NULL AND md_units.anchor_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN COALESCE(CAST(md_units.e_users__age AS Nullable(Float64)), 0) END AS v_users__age,
  CASE WHEN md_units.anchor_us IS NOT NULL AND md_units.anchor_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN md_units.e_users__age IS NOT NULL THEN CAST(0.0 AS Nullable(Float64)) ELSE CAST(1.0 AS Nullable(Float64)) END END AS v_users__age__missing,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN COALESCE(md_units.u_revenue__exposed, 0) > md_percentiles.p_revenue__upper THEN md_percentiles.p_revenue__upper ELSE COALESCE(md_units.u_revenue__exposed, 0) END END AS v_revenue__exposed,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN COALESCE(md_units.u_revenue__exposed, 0) > md_percentiles.p_revenue__upper THEN 1 ELSE 0 END END AS c_revenue__exposed,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CAST(1.0 AS Nullable(Float64)) END AS v_exposed_mature_7d__units
FROM md_units
CROSS JOIN md_percentiles
WHERE md_units.in_population = 1
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_centres ENGINE = Memory AS
-- One constant near the mean of every column, the same in all arms: products of differences lose no digits.
SELECT
  COALESCE(AVG(v_revenue), 0) AS v_revenue,
  COALESCE(AVG(v_revenue__uncapped), 0) AS v_revenue__uncapped,
  COALESCE(AVG(v_revenue__pre), 0) AS v_revenue__pre,
  COALESCE(AVG(v_users__age), 0) AS v_users__age,
  COALESCE(AVG(v_users__age__missing), 0) AS v_users__age__missing,
  COALESCE(AVG(v_revenue__exposed), 0) AS v_revenue__exposed,
  COALESCE(AVG(v_exposed_mature_7d__units), 0) AS v_exposed_mature_7d__units
FROM md_eligible
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_cells ENGINE = Memory AS
WITH
-- Distances from the centres.
md_centred AS (
  SELECT
    md_eligible.arm AS arm,
    md_eligible.mixed AS mixed,
    md_eligible.epoch AS epoch,
    md_eligible.k_0 AS k_0,
    md_eligible.k_1 AS k_1,
    md_eligible.in_mature_7d AS in_mature_7d,
    md_eligible.in_exposed_mature_7d AS in_exposed_mature_7d,
    md_eligible.v_revenue AS v_revenue,
    md_eligible.c_revenue AS c_revenue,
    md_eligible.v_revenue - md_centres.v_revenue AS d_revenue,
    md_eligible.v_revenue__uncapped AS v_revenue__uncapped,
    md_eligible.v_revenue__uncapped - md_centres.v_revenue__uncapped AS d_revenue__uncapped,
    md_eligible.v_revenue__pre AS v_revenue__pre,
    md_eligible.c_revenue__pre AS c_revenue__pre,
    md_eligible.v_revenue__pre - md_centres.v_revenue__pre AS d_revenue__pre,
    md_eligible.v_users__age AS v_users__age,
    md_eligible.v_users__age - md_centres.v_users__age AS d_users__age,
    md_eligible.v_users__age__missing AS v_users__age__missing,
    md_eligible.v_users__age__missing - md_centres.v_users__age__missing AS d_users__age__missing,
    md_eligible.v_revenue__exposed AS v_revenue__exposed,
    md_eligible.c_revenue__exposed AS c_revenue__exposed,
    md_eligible.v_revenue__exposed - md_centres.v_revenue__exposed AS d_revenue__exposed,
    md_eligible.v_exposed_mature_7d__units AS v_exposed_mature_7d__units,
    md_eligible.v_exposed_mature_7d__units - md_centres.v_exposed_mature_7d__units AS d_exposed_mature_7d__units
  FROM md_eligible
  CROSS JOIN md_centres
)

-- n: units, s: sums, q: products, k: cubes, a: largest size, z: non-zero, w: capped; by block and column.
SELECT
  arm,
  mixed,
  epoch,
  k_0,
  k_1,
  COUNT(*) AS group_rows,
  SUM(in_mature_7d) AS n__mature_7d,
  SUM(d_revenue) AS s__b0_0,
  SUM(d_revenue__uncapped) AS s__b0_1,
  SUM(d_revenue__pre) AS s__b0_2,
  SUM(d_users__age) AS s__b0_3,
  SUM(d_users__age__missing) AS s__b0_4,
  SUM(d_revenue * d_revenue) AS q__b0_0_0,
  SUM(d_revenue * d_revenue__uncapped) AS q__b0_0_1,
  SUM(d_revenue * d_revenue__pre) AS q__b0_0_2,
  SUM(d_revenue * d_users__age) AS q__b0_0_3,
  SUM(d_revenue * d_users__age__missing) AS q__b0_0_4,
  SUM(d_revenue__uncapped * d_revenue__uncapped) AS q__b0_1_1,
  SUM(d_revenue__uncapped * d_revenue__pre) AS q__b0_1_2,
  SUM(d_revenue__uncapped * d_users__age) AS q__b0_1_3,
  SUM(d_revenue__uncapped * d_users__age__missing) AS q__b0_1_4,
  SUM(d_revenue__pre * d_revenue__pre) AS q__b0_2_2,
  SUM(d_revenue__pre * d_users__age) AS q__b0_2_3,
  SUM(d_revenue__pre * d_users__age__missing) AS q__b0_2_4,
  SUM(d_users__age * d_users__age) AS q__b0_3_3,
  SUM(d_users__age * d_users__age__missing) AS q__b0_3_4,
  SUM(d_users__age__missing * d_users__age__missing) AS q__b0_4_4,
  SUM(d_revenue * d_revenue * d_revenue) AS k__b0_0,
  MAX(ABS(v_revenue)) AS a__b0_0,
  COUNT(CASE WHEN v_revenue <> 0 THEN 1 END) AS z__b0_0,
  SUM(d_revenue__uncapped * d_revenue__uncapped * d_revenue__uncapped) AS k__b0_1,
  MAX(ABS(v_revenue__uncapped)) AS a__b0_1,
  COUNT(CASE WHEN v_revenue__uncapped <> 0 THEN 1 END) AS z__b0_1,
  SUM(d_revenue__pre * d_revenue__pre * d_revenue__pre) AS k__b0_2,
  MAX(ABS(v_revenue__pre)) AS a__b0_2,
  COUNT(CASE WHEN v_revenue__pre <> 0 THEN 1 END) AS z__b0_2,
  SUM(d_users__age * d_users__age * d_users__age) AS k__b0_3,
  MAX(ABS(v_users__age)) AS a__b0_3,
  COUNT(CASE WHEN v_users__age <> 0 THEN 1 END) AS z__b0_3,
  SUM(d_users__age__missing * d_users__age__missing * d_users__age__missing) AS k__b0_4,
  MAX(ABS(v_users__age__missing)) AS a__b0_4,
  COUNT(CASE WHEN v_users__age__missing <> 0 THEN 1 END) AS z__b0_4,
  SUM(in_exposed_mature_7d) AS n__exposed_mature_7d,
  SUM(d_revenue__exposed) AS s__b1_0,
  SUM(d_exposed_mature_7d__units) AS s__b1_1,
  SUM(d_revenue__exposed * d_revenue__exposed) AS q__b1_0_0,
  SUM(d_exposed_mature_7d__units * d_exposed_mature_7d__units) AS q__b1_1_1,
  SUM(d_revenue__exposed * d_revenue__exposed * d_revenue__exposed) AS k__b1_0,
  MAX(ABS(v_revenue__exposed)) AS a__b1_0,
  COUNT(CASE WHEN v_revenue__exposed <> 0 THEN 1 END) AS z__b1_0,
  SUM(d_exposed_mature_7d__units * d_exposed_mature_7d__units * d_exposed_mature_7d__units) AS k__b1_1,
  MAX(ABS(v_exposed_mature_7d__units)) AS a__b1_1,
  COUNT(CASE WHEN v_exposed_mature_7d__units <> 0 THEN 1 END) AS z__b1_1,
  SUM(c_revenue) AS w__b0_0,
  SUM(c_revenue__pre) AS w__b0_2,
  SUM(c_revenue__exposed) AS w__b1_0
FROM md_centred
GROUP BY arm, mixed, epoch, k_0, k_1
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
    COUNT(CASE WHEN in_population = 1 AND anchor_us IS NOT NULL THEN 1 END) AS units_analysed,
    COUNT(CASE WHEN rows_users > 1 THEN 1 END) AS duplicates_users
  FROM md_units
  GROUP BY arm, mixed, epoch
),

-- The finest cells added up: overall, and for each breakdown on its own.
md_groups AS (
  SELECT
    arm,
    mixed,
    epoch,
    k_0,
    k_1,
    SUM(group_rows) AS group_rows,
    SUM(n__mature_7d) AS n__mature_7d,
    SUM(s__b0_0) AS s__b0_0,
    SUM(s__b0_1) AS s__b0_1,
    SUM(s__b0_2) AS s__b0_2,
    SUM(s__b0_3) AS s__b0_3,
    SUM(s__b0_4) AS s__b0_4,
    SUM(q__b0_0_0) AS q__b0_0_0,
    SUM(q__b0_0_1) AS q__b0_0_1,
    SUM(q__b0_0_2) AS q__b0_0_2,
    SUM(q__b0_0_3) AS q__b0_0_3,
    SUM(q__b0_0_4) AS q__b0_0_4,
    SUM(q__b0_1_1) AS q__b0_1_1,
    SUM(q__b0_1_2) AS q__b0_1_2,
    SUM(q__b0_1_3) AS q__b0_1_3,
    SUM(q__b0_1_4) AS q__b0_1_4,
    SUM(q__b0_2_2) AS q__b0_2_2,
    SUM(q__b0_2_3) AS q__b0_2_3,
    SUM(q__b0_2_4) AS q__b0_2_4,
    SUM(q__b0_3_3) AS q__b0_3_3,
    SUM(q__b0_3_4) AS q__b0_3_4,
    SUM(q__b0_4_4) AS q__b0_4_4,
    SUM(k__b0_0) AS k__b0_0,
    MAX(a__b0_0) AS a__b0_0,
    SUM(z__b0_0) AS z__b0_0,
    SUM(k__b0_1) AS k__b0_1,
    MAX(a__b0_1) AS a__b0_1,
    SUM(z__b0_1) AS z__b0_1,
    SUM(k__b0_2) AS k__b0_2,
    MAX(a__b0_2) AS a__b0_2,
    SUM(z__b0_2) AS z__b0_2,
    SUM(k__b0_3) AS k__b0_3,
    MAX(a__b0_3) AS a__b0_3,
    SUM(z__b0_3) AS z__b0_3,
    SUM(k__b0_4) AS k__b0_4,
    MAX(a__b0_4) AS a__b0_4,
    SUM(z__b0_4) AS z__b0_4,
    SUM(w__b0_0) AS w__b0_0,
    SUM(w__b0_2) AS w__b0_2,
    SUM(n__exposed_mature_7d) AS n__exposed_mature_7d,
    SUM(s__b1_0) AS s__b1_0,
    SUM(s__b1_1) AS s__b1_1,
    SUM(q__b1_0_0) AS q__b1_0_0,
    SUM(q__b1_1_1) AS q__b1_1_1,
    SUM(k__b1_0) AS k__b1_0,
    MAX(a__b1_0) AS a__b1_0,
    SUM(z__b1_0) AS z__b1_0,
    SUM(k__b1_1) AS k__b1_1,
    MAX(a__b1_1) AS a__b1_1,
    SUM(z__b1_1) AS z__b1_1,
    SUM(w__b1_0) AS w__b1_0
  FROM md_cells
  GROUP BY GROUPING SETS ((arm, mixed, epoch, k_0), (arm, mixed, epoch, k_0, k_1))
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
  CAST(md_groups.k_0 AS Nullable(String)) AS k_0,
  CAST(md_groups.k_1 AS Nullable(String)) AS k_1,
  CAST(COALESCE(md_arm_counts.units_assigned, 0) AS Nullable(Int64)) AS units_assigned,
  CAST(COALESCE(md_arm_counts.units_in_population, 0) AS Nullable(Int64)) AS units_in_population,
  CAST(COALESCE(md_arm_counts.units_analysed, 0) AS Nullable(Int64)) AS units_analysed,
  CAST(COALESCE(md_arm_counts.duplicates_users, 0) AS Nullable(Int64)) AS duplicates_users,
  CAST(md_exposure_audit.audit_rows AS Nullable(Int64)) AS audit_rows,
  CAST(md_exposure_audit.audit_null_unit AS Nullable(Int64)) AS audit_null_unit,
  CAST(md_exposure_audit.audit_null_time AS Nullable(Int64)) AS audit_null_time,
  CAST(md_exposure_audit.audit_before_start AS Nullable(Int64)) AS audit_before_start,
  CAST(md_exposure_audit.audit_on_or_after_end AS Nullable(Int64)) AS audit_on_or_after_end,
  CAST(md_exposure_audit.audit_after_as_of AS Nullable(Int64)) AS audit_after_as_of,
  CAST(md_exposure_audit.audit_not_loaded AS Nullable(Int64)) AS audit_not_loaded,
  CAST(md_exposure_audit.audit_unknown_arm AS Nullable(Int64)) AS audit_unknown_arm,
  CAST(md_percentiles.p_revenue__upper AS Nullable(Float64)) AS p__revenue__upper,
  CAST(md_percentiles.h_revenue__upper AS Nullable(Float64)) AS h__revenue__upper,
  CAST(md_percentiles.p_revenue__pre__upper AS Nullable(Float64)) AS p__revenue__pre__upper,
  CAST(md_percentiles.h_revenue__pre__upper AS Nullable(Float64)) AS h__revenue__pre__upper,
  CAST(md_centres.v_revenue AS Nullable(Float64)) AS c__b0_0,
  CAST(md_centres.v_revenue__uncapped AS Nullable(Float64)) AS c__b0_1,
  CAST(md_centres.v_revenue__pre AS Nullable(Float64)) AS c__b0_2,
  CAST(md_centres.v_users__age AS Nullable(Float64)) AS c__b0_3,
  CAST(md_centres.v_users__age__missing AS Nullable(Float64)) AS c__b0_4,
  CAST(md_centres.v_revenue__exposed AS Nullable(Float64)) AS c__b1_0,
  CAST(md_centres.v_exposed_mature_7d__units AS Nullable(Float64)) AS c__b1_1,
  CAST(md_groups.group_rows AS Nullable(Int64)) AS group_rows,
  CAST(md_groups.n__mature_7d AS Nullable(Float64)) AS n__mature_7d,
  CAST(md_groups.s__b0_0 AS Nullable(Float64)) AS s__b0_0,
  CAST(md_groups.s__b0_1 AS Nullable(Float64)) AS s__b0_1,
  CAST(md_groups.s__b0_2 AS Nullable(Float64)) AS s__b0_2,
  CAST(md_groups.s__b0_3 AS Nullable(Float64)) AS s__b0_3,
  CAST(md_groups.s__b0_4 AS Nullable(Float64)) AS s__b0_4,
  CAST(md_groups.q__b0_0_0 AS Nullable(Float64)) AS q__b0_0_0,
  CAST(md_groups.q__b0_0_1 AS Nullable(Float64)) AS q__b0_0_1,
  CAST(md_groups.q__b0_0_2 AS Nullable(Float64)) AS q__b0_0_2,
  CAST(md_groups.q__b0_0_3 AS Nullable(Float64)) AS q__b0_0_3,
  CAST(md_groups.q__b0_0_4 AS Nullable(Float64)) AS q__b0_0_4,
  CAST(md_groups.q__b0_1_1 AS Nullable(Float64)) AS q__b0_1_1,
  CAST(md_groups.q__b0_1_2 AS Nullable(Float64)) AS q__b0_1_2,
  CAST(md_groups.q__b0_1_3 AS Nullable(Float64)) AS q__b0_1_3,
  CAST(md_groups.q__b0_1_4 AS Nullable(Float64)) AS q__b0_1_4,
  CAST(md_groups.q__b0_2_2 AS Nullable(Float64)) AS q__b0_2_2,
  CAST(md_groups.q__b0_2_3 AS Nullable(Float64)) AS q__b0_2_3,
  CAST(md_groups.q__b0_2_4 AS Nullable(Float64)) AS q__b0_2_4,
  CAST(md_groups.q__b0_3_3 AS Nullable(Float64)) AS q__b0_3_3,
  CAST(md_groups.q__b0_3_4 AS Nullable(Float64)) AS q__b0_3_4,
  CAST(md_groups.q__b0_4_4 AS Nullable(Float64)) AS q__b0_4_4,
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
  CAST(md_groups.w__b0_0 AS Nullable(Float64)) AS w__b0_0,
  CAST(md_groups.w__b0_2 AS Nullable(Float64)) AS w__b0_2,
  CAST(md_groups.n__exposed_mature_7d AS Nullable(Float64)) AS n__exposed_mature_7d,
  CAST(md_groups.s__b1_0 AS Nullable(Float64)) AS s__b1_0,
  CAST(md_groups.s__b1_1 AS Nullable(Float64)) AS s__b1_1,
  CAST(md_groups.q__b1_0_0 AS Nullable(Float64)) AS q__b1_0_0,
  CAST(md_groups.q__b1_1_1 AS Nullable(Float64)) AS q__b1_1_1,
  CAST(md_groups.k__b1_0 AS Nullable(Float64)) AS k__b1_0,
  CAST(md_groups.a__b1_0 AS Nullable(Float64)) AS a__b1_0,
  CAST(md_groups.z__b1_0 AS Nullable(Float64)) AS z__b1_0,
  CAST(md_groups.k__b1_1 AS Nullable(Float64)) AS k__b1_1,
  CAST(md_groups.a__b1_1 AS Nullable(Float64)) AS a__b1_1,
  CAST(md_groups.z__b1_1 AS Nullable(Float64)) AS z__b1_1,
  CAST(md_groups.w__b1_0 AS Nullable(Float64)) AS w__b1_0,
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
  CAST(NULL AS Nullable(String)) AS k_0,
  CAST(NULL AS Nullable(String)) AS k_1,
  CAST(NULL AS Nullable(Int64)) AS units_assigned,
  CAST(NULL AS Nullable(Int64)) AS units_in_population,
  CAST(NULL AS Nullable(Int64)) AS units_analysed,
  CAST(NULL AS Nullable(Int64)) AS duplicates_users,
  CAST(NULL AS Nullable(Int64)) AS audit_rows,
  CAST(NULL AS Nullable(Int64)) AS audit_null_unit,
  CAST(NULL AS Nullable(Int64)) AS audit_null_time,
  CAST(NULL AS Nullable(Int64)) AS audit_before_start,
  CAST(NULL AS Nullable(Int64)) AS audit_on_or_after_end,
  CAST(NULL AS Nullable(Int64)) AS audit_after_as_of,
  CAST(NULL AS Nullable(Int64)) AS audit_not_loaded,
  CAST(NULL AS Nullable(Int64)) AS audit_unknown_arm,
  CAST(NULL AS Nullable(Float64)) AS p__revenue__upper,
  CAST(NULL AS Nullable(Float64)) AS h__revenue__upper,
  CAST(NULL AS Nullable(Float64)) AS p__revenue__pre__upper,
  CAST(NULL AS Nullable(Float64)) AS h__revenue__pre__upper,
  CAST(NULL AS Nullable(Float64)) AS c__b0_0,
  CAST(NULL AS Nullable(Float64)) AS c__b0_1,
  CAST(NULL AS Nullable(Float64)) AS c__b0_2,
  CAST(NULL AS Nullable(Float64)) AS c__b0_3,
  CAST(NULL AS Nullable(Float64)) AS c__b0_4,
  CAST(NULL AS Nullable(Float64)) AS c__b1_0,
  CAST(NULL AS Nullable(Float64)) AS c__b1_1,
  CAST(NULL AS Nullable(Int64)) AS group_rows,
  CAST(NULL AS Nullable(Float64)) AS n__mature_7d,
  CAST(NULL AS Nullable(Float64)) AS s__b0_0,
  CAST(NULL AS Nullable(Float64)) AS s__b0_1,
  CAST(NULL AS Nullable(Float64)) AS s__b0_2,
  CAST(NULL AS Nullable(Float64)) AS s__b0_3,
  CAST(NULL AS Nullable(Float64)) AS s__b0_4,
  CAST(NULL AS Nullable(Float64)) AS q__b0_0_0,
  CAST(NULL AS Nullable(Float64)) AS q__b0_0_1,
  CAST(NULL AS Nullable(Float64)) AS q__b0_0_2,
  CAST(NULL AS Nullable(Float64)) AS q__b0_0_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_0_4,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_1,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_2,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_4,
  CAST(NULL AS Nullable(Float64)) AS q__b0_2_2,
  CAST(NULL AS Nullable(Float64)) AS q__b0_2_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_2_4,
  CAST(NULL AS Nullable(Float64)) AS q__b0_3_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_3_4,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_4,
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
  CAST(NULL AS Nullable(Float64)) AS w__b0_0,
  CAST(NULL AS Nullable(Float64)) AS w__b0_2,
  CAST(NULL AS Nullable(Float64)) AS n__exposed_mature_7d,
  CAST(NULL AS Nullable(Float64)) AS s__b1_0,
  CAST(NULL AS Nullable(Float64)) AS s__b1_1,
  CAST(NULL AS Nullable(Float64)) AS q__b1_0_0,
  CAST(NULL AS Nullable(Float64)) AS q__b1_1_1,
  CAST(NULL AS Nullable(Float64)) AS k__b1_0,
  CAST(NULL AS Nullable(Float64)) AS a__b1_0,
  CAST(NULL AS Nullable(Float64)) AS z__b1_0,
  CAST(NULL AS Nullable(Float64)) AS k__b1_1,
  CAST(NULL AS Nullable(Float64)) AS a__b1_1,
  CAST(NULL AS Nullable(Float64)) AS z__b1_1,
  CAST(NULL AS Nullable(Float64)) AS w__b1_0,
  CAST(day_us AS Nullable(Int64)) AS seen_us,
  CAST(entered_units AS Nullable(Int64)) AS entered_units,
  CAST(entered_again AS Nullable(Int64)) AS entered_again
FROM md_entry_days
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
