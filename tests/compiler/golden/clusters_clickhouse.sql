-- metricdef 0.1.0: experiment test, dialect clickhouse
-- as of 2026-02-28 23:00:00.000000 UTC (rows at or after it do not count)
-- definitions f8c5eb43434c87a6, sql 07ddd8522f114791
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
  shop_id AS cluster
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
CREATE OR REPLACE TEMPORARY TABLE md_entries_of_units ENGINE = Memory AS
-- One row per unit: its first exposure; mixed where it saw more than one arm.
SELECT
  unit AS unit_id,
  CAST(ROW_NUMBER() OVER () AS Int64) AS unit,
  MIN(ts_us) AS exposed_us,
  COUNT(*) AS exposure_rows,
  MIN(ts_us * 2 + arm_code) % 2 AS arm,
  MIN(arm_code) AS lowest_arm,
  MAX(arm_code) AS highest_arm
FROM md_exposure_rows
WHERE unit IS NOT NULL
  AND arm_code IS NOT NULL
  AND ts_us >= 1767222000000000 /* 2025-12-31 23:00:00.000000 UTC */
  AND ts_us < 1769900400000000 /* 2026-01-31 23:00:00.000000 UTC */
GROUP BY unit
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_clusters_of_units ENGINE = Memory AS
-- The cluster of every unit at first exposure; of rows at the same instant the smallest.
SELECT
  md_entries_of_units.unit AS unit,
  MIN(md_exposure_rows.cluster) AS cluster
FROM md_entries_of_units
INNER JOIN md_exposure_rows
  ON md_exposure_rows.unit = md_entries_of_units.unit_id
  AND md_exposure_rows.ts_us = md_entries_of_units.exposed_us
  AND md_exposure_rows.arm_code = md_entries_of_units.arm
GROUP BY md_entries_of_units.unit
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_entries ENGINE = Memory AS
WITH
-- One row per cluster: its earliest exposure; mixed where its units saw more than one arm.
md_clusters AS (
  SELECT
    md_clusters_of_units.cluster AS cluster,
    MIN(md_entries_of_units.exposed_us) AS exposed_us,
    MIN(md_entries_of_units.exposed_us * 2 + md_entries_of_units.arm) % 2 AS arm,
    CASE WHEN MIN(md_entries_of_units.lowest_arm) = MAX(md_entries_of_units.highest_arm) THEN 0 ELSE 1 END AS mixed
  FROM md_entries_of_units
  INNER JOIN md_clusters_of_units
    ON md_clusters_of_units.unit = md_entries_of_units.unit
  WHERE md_clusters_of_units.cluster IS NOT NULL
  GROUP BY md_clusters_of_units.cluster
)

-- Units with the arm of their cluster.
SELECT
  md_entries_of_units.unit_id AS unit_id,
  md_entries_of_units.unit AS unit,
  md_entries_of_units.exposed_us AS exposed_us,
  md_entries_of_units.exposure_rows AS exposure_rows,
  md_clusters.cluster AS cluster,
  CASE WHEN md_entries_of_units.exposed_us = md_clusters.exposed_us THEN 1 ELSE 0 END AS is_earliest,
  md_clusters.arm AS arm,
  md_clusters.mixed AS mixed,
  CASE WHEN md_clusters.exposed_us >= 1767826800000000 /* 2026-01-07 23:00:00.000000 UTC */ THEN 1 ELSE 0 END AS epoch
FROM md_entries_of_units
INNER JOIN md_clusters_of_units
  ON md_clusters_of_units.unit = md_entries_of_units.unit
INNER JOIN md_clusters
  ON md_clusters.cluster = md_clusters_of_units.cluster
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_units ENGINE = Memory AS
WITH
-- Rows of orders that some value needs, of exposed units only: one scan.
md_facts_orders AS (
  SELECT
    md_entries.unit AS unit,
    fact_rows.ts_us - md_entries.exposed_us AS since_us,
    fact_rows.m_amount AS m_amount
  FROM (
    SELECT
      user_id AS unit,
      toUnixTimestamp64Micro(CAST(happened_at AS Nullable(DateTime64(6, 'UTC')))) AS ts_us,
      amount AS m_amount
    FROM orders
    WHERE CAST(happened_at AS Nullable(DateTime64(6, 'UTC'))) >= toDateTime64('2025-12-31 23:00:00.000000', 6, 'UTC')
      AND CAST(happened_at AS Nullable(DateTime64(6, 'UTC'))) < toDateTime64('2026-02-07 23:00:00.000000', 6, 'UTC')
  ) AS fact_rows
  INNER JOIN md_entries
    ON md_entries.unit_id = fact_rows.unit
  WHERE fact_rows.ts_us - md_entries.exposed_us >= 0
),

-- One row per unit: its values from orders.
md_unit_orders AS (
  SELECT
    md_facts_orders.unit AS unit,
    COUNT(CASE WHEN since_us < 604800000000 /* 7d */ THEN 1 END) AS u_buyers,
    SUM(CASE WHEN since_us < 604800000000 /* 7d */ THEN CAST(m_amount AS Nullable(Float64)) END) AS u_order_value__numerator
  FROM md_facts_orders
  GROUP BY md_facts_orders.unit
)

-- One row per unit.
SELECT
  md_entries.unit AS unit,
  md_entries.arm AS arm,
  md_entries.mixed AS mixed,
  md_entries.epoch AS epoch,
  md_entries.exposed_us AS exposed_us,
  md_entries.cluster AS cluster,
  md_unit_orders.u_buyers AS u_buyers,
  md_unit_orders.u_order_value__numerator AS u_order_value__numerator,
  1 AS in_population
FROM md_entries
LEFT JOIN md_unit_orders
  ON md_unit_orders.unit = md_entries.unit
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_percentiles ENGINE = Memory AS
-- Limits from the data: p the percentile over all arms, h the median of what is not 0.
SELECT
  quantileExactInclusive(0.99)(CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ AND COALESCE(md_units.u_order_value__numerator, 0) <> 0 THEN COALESCE(md_units.u_order_value__numerator, 0) END) AS p_order_value__numerator__upper,
  quantileExactInclusive(0.5)(CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ AND COALESCE(md_units.u_order_value__numerator, 0) <> 0 THEN COALESCE(md_units.u_order_value__numerator, 0) END) AS h_order_value__numerator__upper
FROM md_units
WHERE in_population = 1
  AND mixed = 0
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_eligible_units ENGINE = Memory AS
-- Values of the units whose window is complete; NULL for the others.
SELECT
  md_units.arm AS arm,
  md_units.mixed AS mixed,
  md_units.epoch AS epoch,
  md_units.cluster AS cluster,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN 1 ELSE 0 END AS in_mature_7d,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN CAST(COALESCE(md_units.u_buyers, 0) AS Nullable(Float64)) >= CAST(1.0 AS Nullable(Float64)) THEN CAST(1.0 AS Nullable(Float64)) ELSE CAST(0.0 AS Nullable(Float64)) END END AS v_buyers,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CAST(1.0 AS Nullable(Float64)) END AS v_mature_7d__units,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN COALESCE(md_units.u_order_value__numerator, 0) > md_percentiles.p_order_value__numerator__upper THEN md_percentiles.p_order_value__numerator__upper ELSE COALESCE(md_units.u_order_value__numerator, 0) END END AS v_order_value__numerator,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CASE WHEN COALESCE(md_units.u_order_value__numerator, 0) > md_percentiles.p_order_value__numerator__upper THEN 1 ELSE 0 END END AS c_order_value__numerator,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CAST(COALESCE(md_units.u_buyers, 0) AS Nullable(Float64)) END AS v_order_value__denominator,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN COALESCE(md_units.u_order_value__numerator, 0) END AS v_order_value__numerator__uncapped
FROM md_units
CROSS JOIN md_percentiles
WHERE md_units.in_population = 1
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_eligible ENGINE = Memory AS
-- One row per cluster: totals over its units, means of what was known before.
SELECT
  arm,
  mixed,
  epoch,
  cluster,
  MAX(in_mature_7d) AS in_mature_7d,
  SUM(v_buyers) AS v_buyers,
  SUM(v_mature_7d__units) AS v_mature_7d__units,
  SUM(v_order_value__numerator) AS v_order_value__numerator,
  SUM(c_order_value__numerator) AS c_order_value__numerator,
  SUM(v_order_value__denominator) AS v_order_value__denominator,
  SUM(v_order_value__numerator__uncapped) AS v_order_value__numerator__uncapped
FROM md_eligible_units
GROUP BY arm, mixed, epoch, cluster
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_centres ENGINE = Memory AS
-- One constant near the mean of every column, the same in all arms: products of differences lose no digits.
SELECT
  COALESCE(AVG(v_buyers), 0) AS v_buyers,
  COALESCE(AVG(v_mature_7d__units), 0) AS v_mature_7d__units,
  COALESCE(AVG(v_order_value__numerator), 0) AS v_order_value__numerator,
  COALESCE(AVG(v_order_value__denominator), 0) AS v_order_value__denominator,
  COALESCE(AVG(v_order_value__numerator__uncapped), 0) AS v_order_value__numerator__uncapped
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
    md_eligible.v_mature_7d__units AS v_mature_7d__units,
    md_eligible.v_mature_7d__units - md_centres.v_mature_7d__units AS d_mature_7d__units,
    md_eligible.v_order_value__numerator AS v_order_value__numerator,
    md_eligible.c_order_value__numerator AS c_order_value__numerator,
    md_eligible.v_order_value__numerator - md_centres.v_order_value__numerator AS d_order_value__numerator,
    md_eligible.v_order_value__denominator AS v_order_value__denominator,
    md_eligible.v_order_value__denominator - md_centres.v_order_value__denominator AS d_order_value__denominator,
    md_eligible.v_order_value__numerator__uncapped AS v_order_value__numerator__uncapped,
    md_eligible.v_order_value__numerator__uncapped - md_centres.v_order_value__numerator__uncapped AS d_order_value__numerator__uncapped,
    md_eligible.v_buyers - COALESCE(md_centres.v_buyers / NULLIF(md_centres.v_mature_7d__units, 0), 0) * md_eligible.v_mature_7d__units AS v_buyers__residual,
    md_eligible.v_buyers - COALESCE(md_centres.v_buyers / NULLIF(md_centres.v_mature_7d__units, 0), 0) * md_eligible.v_mature_7d__units AS d_buyers__residual,
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
  SUM(d_mature_7d__units) AS s__b0_1,
  SUM(d_buyers__residual) AS s__b0_2,
  SUM(d_order_value__numerator) AS s__b0_3,
  SUM(d_order_value__denominator) AS s__b0_4,
  SUM(d_order_value__numerator__uncapped) AS s__b0_5,
  SUM(d_order_value__numerator__residual) AS s__b0_6,
  SUM(d_order_value__numerator__uncapped__residual) AS s__b0_7,
  SUM(d_buyers * d_buyers) AS q__b0_0_0,
  SUM(d_buyers * d_mature_7d__units) AS q__b0_0_1,
  SUM(d_buyers * d_buyers__residual) AS q__b0_0_2,
  SUM(d_mature_7d__units * d_mature_7d__units) AS q__b0_1_1,
  SUM(d_mature_7d__units * d_buyers__residual) AS q__b0_1_2,
  SUM(d_buyers__residual * d_buyers__residual) AS q__b0_2_2,
  SUM(d_order_value__numerator * d_order_value__numerator) AS q__b0_3_3,
  SUM(d_order_value__numerator * d_order_value__denominator) AS q__b0_3_4,
  SUM(d_order_value__numerator * d_order_value__numerator__uncapped) AS q__b0_3_5,
  SUM(d_order_value__numerator * d_order_value__numerator__residual) AS q__b0_3_6,
  SUM(d_order_value__numerator * d_order_value__numerator__uncapped__residual) AS q__b0_3_7,
  SUM(d_order_value__denominator * d_order_value__denominator) AS q__b0_4_4,
  SUM(d_order_value__denominator * d_order_value__numerator__uncapped) AS q__b0_4_5,
  SUM(d_order_value__denominator * d_order_value__numerator__residual) AS q__b0_4_6,
  SUM(d_order_value__denominator * d_order_value__numerator__uncapped__residual) AS q__b0_4_7,
  SUM(d_order_value__numerator__uncapped * d_order_value__numerator__uncapped) AS q__b0_5_5,
  SUM(d_order_value__numerator__uncapped * d_order_value__numerator__residual) AS q__b0_5_6,
  SUM(d_order_value__numerator__uncapped * d_order_value__numerator__uncapped__residual) AS q__b0_5_7,
  SUM(d_order_value__numerator__residual * d_order_value__numerator__residual) AS q__b0_6_6,
  SUM(d_order_value__numerator__residual * d_order_value__numerator__uncapped__residual) AS q__b0_6_7,
  SUM(d_order_value__numerator__uncapped__residual * d_order_value__numerator__uncapped__residual) AS q__b0_7_7,
  SUM(d_buyers * d_buyers * d_buyers) AS k__b0_0,
  MAX(ABS(v_buyers)) AS a__b0_0,
  COUNT(CASE WHEN v_buyers <> 0 THEN 1 END) AS z__b0_0,
  SUM(d_mature_7d__units * d_mature_7d__units * d_mature_7d__units) AS k__b0_1,
  MAX(ABS(v_mature_7d__units)) AS a__b0_1,
  COUNT(CASE WHEN v_mature_7d__units <> 0 THEN 1 END) AS z__b0_1,
  SUM(d_buyers__residual * d_buyers__residual * d_buyers__residual) AS k__b0_2,
  MAX(ABS(v_buyers__residual)) AS a__b0_2,
  COUNT(CASE WHEN v_buyers__residual <> 0 THEN 1 END) AS z__b0_2,
  SUM(d_order_value__numerator * d_order_value__numerator * d_order_value__numerator) AS k__b0_3,
  MAX(ABS(v_order_value__numerator)) AS a__b0_3,
  COUNT(CASE WHEN v_order_value__numerator <> 0 THEN 1 END) AS z__b0_3,
  SUM(d_order_value__denominator * d_order_value__denominator * d_order_value__denominator) AS k__b0_4,
  MAX(ABS(v_order_value__denominator)) AS a__b0_4,
  COUNT(CASE WHEN v_order_value__denominator <> 0 THEN 1 END) AS z__b0_4,
  SUM(d_order_value__numerator__uncapped * d_order_value__numerator__uncapped * d_order_value__numerator__uncapped) AS k__b0_5,
  MAX(ABS(v_order_value__numerator__uncapped)) AS a__b0_5,
  COUNT(CASE WHEN v_order_value__numerator__uncapped <> 0 THEN 1 END) AS z__b0_5,
  SUM(d_order_value__numerator__residual * d_order_value__numerator__residual * d_order_value__numerator__residual) AS k__b0_6,
  MAX(ABS(v_order_value__numerator__residual)) AS a__b0_6,
  COUNT(CASE WHEN v_order_value__numerator__residual <> 0 THEN 1 END) AS z__b0_6,
  SUM(d_order_value__numerator__uncapped__residual * d_order_value__numerator__uncapped__residual * d_order_value__numerator__uncapped__residual) AS k__b0_7,
  MAX(ABS(v_order_value__numerator__uncapped__residual)) AS a__b0_7,
  COUNT(CASE WHEN v_order_value__numerator__uncapped__residual <> 0 THEN 1 END) AS z__b0_7,
  SUM(c_order_value__numerator) AS w__b0_3
FROM md_centred
GROUP BY arm, mixed, epoch
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
    COUNT(CASE WHEN in_population = 1 THEN 1 END) AS units_analysed,
    COUNT(DISTINCT cluster) AS clusters_assigned,
    COUNT(DISTINCT CASE WHEN in_population = 1 THEN cluster END) AS clusters_in_population,
    COUNT(DISTINCT CASE WHEN in_population = 1 THEN cluster END) AS clusters_analysed
  FROM md_units
  GROUP BY arm, mixed, epoch
),

-- Units that belong to no cluster.
md_cluster_audit AS (
  SELECT
    COUNT(CASE WHEN cluster IS NULL THEN 1 END) AS audit_null_cluster
  FROM md_clusters_of_units
),

-- Units by the local day of their first exposure; again: exposed more than once.
md_entry_days AS (
  SELECT
    arm,
    mixed,
    epoch,
    day_us,
    COUNT(*) AS entered_units,
    COUNT(CASE WHEN exposure_rows > 1 THEN 1 END) AS entered_again,
    COUNT(DISTINCT CASE WHEN is_earliest = 1 THEN cluster END) AS entered_clusters
  FROM (
    SELECT
      arm,
      mixed,
      epoch,
      exposure_rows,
      cluster,
      is_earliest,
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
  CAST(COALESCE(md_arm_counts.clusters_assigned, 0) AS Nullable(Int64)) AS clusters_assigned,
  CAST(COALESCE(md_arm_counts.clusters_in_population, 0) AS Nullable(Int64)) AS clusters_in_population,
  CAST(COALESCE(md_arm_counts.clusters_analysed, 0) AS Nullable(Int64)) AS clusters_analysed,
  CAST(md_exposure_audit.audit_rows AS Nullable(Int64)) AS audit_rows,
  CAST(md_exposure_audit.audit_null_unit AS Nullable(Int64)) AS audit_null_unit,
  CAST(md_exposure_audit.audit_null_time AS Nullable(Int64)) AS audit_null_time,
  CAST(md_exposure_audit.audit_before_start AS Nullable(Int64)) AS audit_before_start,
  CAST(md_exposure_audit.audit_on_or_after_end AS Nullable(Int64)) AS audit_on_or_after_end,
  CAST(md_exposure_audit.audit_after_as_of AS Nullable(Int64)) AS audit_after_as_of,
  CAST(md_exposure_audit.audit_not_loaded AS Nullable(Int64)) AS audit_not_loaded,
  CAST(md_exposure_audit.audit_unknown_arm AS Nullable(Int64)) AS audit_unknown_arm,
  CAST(md_cluster_audit.audit_null_cluster AS Nullable(Int64)) AS audit_null_cluster,
  CAST(md_percentiles.p_order_value__numerator__upper AS Nullable(Float64)) AS p__order_value__numerator__upper,
  CAST(md_percentiles.h_order_value__numerator__upper AS Nullable(Float64)) AS h__order_value__numerator__upper,
  CAST(md_centres.v_buyers AS Nullable(Float64)) AS c__b0_0,
  CAST(md_centres.v_mature_7d__units AS Nullable(Float64)) AS c__b0_1,
  CAST(md_centres.v_order_value__numerator AS Nullable(Float64)) AS c__b0_3,
  CAST(md_centres.v_order_value__denominator AS Nullable(Float64)) AS c__b0_4,
  CAST(md_centres.v_order_value__numerator__uncapped AS Nullable(Float64)) AS c__b0_5,
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
  CAST(md_groups.q__b0_0_0 AS Nullable(Float64)) AS q__b0_0_0,
  CAST(md_groups.q__b0_0_1 AS Nullable(Float64)) AS q__b0_0_1,
  CAST(md_groups.q__b0_0_2 AS Nullable(Float64)) AS q__b0_0_2,
  CAST(md_groups.q__b0_1_1 AS Nullable(Float64)) AS q__b0_1_1,
  CAST(md_groups.q__b0_1_2 AS Nullable(Float64)) AS q__b0_1_2,
  CAST(md_groups.q__b0_2_2 AS Nullable(Float64)) AS q__b0_2_2,
  CAST(md_groups.q__b0_3_3 AS Nullable(Float64)) AS q__b0_3_3,
  CAST(md_groups.q__b0_3_4 AS Nullable(Float64)) AS q__b0_3_4,
  CAST(md_groups.q__b0_3_5 AS Nullable(Float64)) AS q__b0_3_5,
  CAST(md_groups.q__b0_3_6 AS Nullable(Float64)) AS q__b0_3_6,
  CAST(md_groups.q__b0_3_7 AS Nullable(Float64)) AS q__b0_3_7,
  CAST(md_groups.q__b0_4_4 AS Nullable(Float64)) AS q__b0_4_4,
  CAST(md_groups.q__b0_4_5 AS Nullable(Float64)) AS q__b0_4_5,
  CAST(md_groups.q__b0_4_6 AS Nullable(Float64)) AS q__b0_4_6,
  CAST(md_groups.q__b0_4_7 AS Nullable(Float64)) AS q__b0_4_7,
  CAST(md_groups.q__b0_5_5 AS Nullable(Float64)) AS q__b0_5_5,
  CAST(md_groups.q__b0_5_6 AS Nullable(Float64)) AS q__b0_5_6,
  CAST(md_groups.q__b0_5_7 AS Nullable(Float64)) AS q__b0_5_7,
  CAST(md_groups.q__b0_6_6 AS Nullable(Float64)) AS q__b0_6_6,
  CAST(md_groups.q__b0_6_7 AS Nullable(Float64)) AS q__b0_6_7,
  CAST(md_groups.q__b0_7_7 AS Nullable(Float64)) AS q__b0_7_7,
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
  CAST(md_groups.w__b0_3 AS Nullable(Float64)) AS w__b0_3,
  CAST(NULL AS Nullable(Int64)) AS seen_us,
  CAST(NULL AS Nullable(Int64)) AS entered_units,
  CAST(NULL AS Nullable(Int64)) AS entered_again,
  CAST(NULL AS Nullable(Int64)) AS entered_clusters
FROM (
  SELECT 0 AS arm, 0 AS mixed, 0 AS epoch
  UNION ALL SELECT 0 AS arm, 0 AS mixed, 1 AS epoch
  UNION ALL SELECT 0 AS arm, 1 AS mixed, 0 AS epoch
  UNION ALL SELECT 0 AS arm, 1 AS mixed, 1 AS epoch
  UNION ALL SELECT 1 AS arm, 0 AS mixed, 0 AS epoch
  UNION ALL SELECT 1 AS arm, 0 AS mixed, 1 AS epoch
  UNION ALL SELECT 1 AS arm, 1 AS mixed, 0 AS epoch
  UNION ALL SELECT 1 AS arm, 1 AS mixed, 1 AS epoch
) AS arms
CROSS JOIN md_exposure_audit
CROSS JOIN md_cluster_audit
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
  CAST(NULL AS Nullable(Int64)) AS clusters_assigned,
  CAST(NULL AS Nullable(Int64)) AS clusters_in_population,
  CAST(NULL AS Nullable(Int64)) AS clusters_analysed,
  CAST(NULL AS Nullable(Int64)) AS audit_rows,
  CAST(NULL AS Nullable(Int64)) AS audit_null_unit,
  CAST(NULL AS Nullable(Int64)) AS audit_null_time,
  CAST(NULL AS Nullable(Int64)) AS audit_before_start,
  CAST(NULL AS Nullable(Int64)) AS audit_on_or_after_end,
  CAST(NULL AS Nullable(Int64)) AS audit_after_as_of,
  CAST(NULL AS Nullable(Int64)) AS audit_not_loaded,
  CAST(NULL AS Nullable(Int64)) AS audit_unknown_arm,
  CAST(NULL AS Nullable(Int64)) AS audit_null_cluster,
  CAST(NULL AS Nullable(Float64)) AS p__order_value__numerator__upper,
  CAST(NULL AS Nullable(Float64)) AS h__order_value__numerator__upper,
  CAST(NULL AS Nullable(Float64)) AS c__b0_0,
  CAST(NULL AS Nullable(Float64)) AS c__b0_1,
  CAST(NULL AS Nullable(Float64)) AS c__b0_3,
  CAST(NULL AS Nullable(Float64)) AS c__b0_4,
  CAST(NULL AS Nullable(Float64)) AS c__b0_5,
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
  CAST(NULL AS Nullable(Float64)) AS q__b0_0_0,
  CAST(NULL AS Nullable(Float64)) AS q__b0_0_1,
  CAST(NULL AS Nullable(Float64)) AS q__b0_0_2,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_1,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_2,
  CAST(NULL AS Nullable(Float64)) AS q__b0_2_2,
  CAST(NULL AS Nullable(Float64)) AS q__b0_3_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_3_4,
  CAST(NULL AS Nullable(Float64)) AS q__b0_3_5,
  CAST(NULL AS Nullable(Float64)) AS q__b0_3_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_3_7,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_4,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_5,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_7,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_5,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_7,
  CAST(NULL AS Nullable(Float64)) AS q__b0_6_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_6_7,
  CAST(NULL AS Nullable(Float64)) AS q__b0_7_7,
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
  CAST(NULL AS Nullable(Float64)) AS w__b0_3,
  CAST(day_us AS Nullable(Int64)) AS seen_us,
  CAST(entered_units AS Nullable(Int64)) AS entered_units,
  CAST(entered_again AS Nullable(Int64)) AS entered_again,
  CAST(entered_clusters AS Nullable(Int64)) AS entered_clusters
FROM md_entry_days
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
