-- metricdef 0.1.0: experiment test, dialect clickhouse
-- as of 2026-02-28 23:00:00.000000 UTC (rows at or after it do not count)
-- definitions 81b685f96b34a474, sql 5d16df199f17c0e5
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

-- Rows of orders that some value needs, of exposed units only: one scan.
md_facts_orders AS (
  SELECT
    md_entries.unit AS unit,
    fact_rows.ts_us - md_entries.exposed_us AS since_us,
    fact_rows.ts_us AS ts_us,
    fact_rows.m_amount AS m_amount,
    fact_rows.m_product AS m_product,
    fact_rows.f_kind AS f_kind
  FROM (
    SELECT
      user_id AS unit,
      toUnixTimestamp64Micro(CAST(happened_at AS Nullable(DateTime64(6, 'UTC')))) AS ts_us,
      amount AS m_amount,
      product AS m_product,
      CASE WHEN (status = 'paid') THEN 1 WHEN (status = 'refunded') THEN 2 ELSE 0 END AS f_kind
    FROM orders
    WHERE CAST(happened_at AS Nullable(DateTime64(6, 'UTC'))) >= toDateTime64('2025-12-01 23:00:00.000000', 6, 'UTC')
      AND CAST(happened_at AS Nullable(DateTime64(6, 'UTC'))) < toDateTime64('2026-02-07 23:00:00.000000', 6, 'UTC')
  ) AS fact_rows
  INNER JOIN md_entries
    ON md_entries.unit_id = fact_rows.unit
  WHERE fact_rows.ts_us - md_entries.exposed_us >= -2592000000000 /* -30d */
),

-- One row per unit: its values from orders.
md_unit_orders AS (
  SELECT
    md_facts_orders.unit AS unit,
    COUNT(CASE WHEN f_kind = 1 /* paid */ AND since_us < 0 THEN 1 END) AS u_known,
    COUNT(CASE WHEN since_us >= 0 AND ts_us < 1769900400000000 /* 2026-01-31 23:00:00.000000 UTC */ THEN 1 END) AS u_buyers,
    COUNT(CASE WHEN since_us >= -1209600000000 /* -14d */ AND since_us < 0 THEN 1 END) AS u_buyers__pre,
    SUM(CASE WHEN since_us >= 0 AND ts_us < 1769900400000000 /* 2026-01-31 23:00:00.000000 UTC */ THEN CAST(m_amount AS Nullable(Float64)) END) AS u_revenue,
    SUM(CASE WHEN since_us >= -1209600000000 /* -14d */ AND since_us < 0 THEN CAST(m_amount AS Nullable(Float64)) END) AS u_revenue__pre,
    COUNT(DISTINCT CASE WHEN since_us >= 0 AND since_us < 604800000000 /* 7d */ THEN m_product END) AS u_products,
    COUNT(DISTINCT CASE WHEN since_us >= -1209600000000 /* -14d */ AND since_us < 0 THEN m_product END) AS u_products__pre,
    argMax(CASE WHEN since_us >= 0 AND ts_us >= 1769295600000000 /* 2026-01-24 23:00:00.000000 UTC */ AND ts_us < 1769900400000000 /* 2026-01-31 23:00:00.000000 UTC */ THEN CAST(m_amount AS Nullable(Float64)) END, CASE WHEN isNaN(CASE WHEN since_us >= 0 AND ts_us >= 1769295600000000 /* 2026-01-24 23:00:00.000000 UTC */ AND ts_us < 1769900400000000 /* 2026-01-31 23:00:00.000000 UTC */ THEN CAST(m_amount AS Nullable(Float64)) END) THEN inf ELSE CASE WHEN since_us >= 0 AND ts_us >= 1769295600000000 /* 2026-01-24 23:00:00.000000 UTC */ AND ts_us < 1769900400000000 /* 2026-01-31 23:00:00.000000 UTC */ THEN CAST(m_amount AS Nullable(Float64)) END END) AS u_largest,
    argMax(CASE WHEN since_us >= -1209600000000 /* -14d */ AND since_us < 0 THEN CAST(m_amount AS Nullable(Float64)) END, CASE WHEN isNaN(CASE WHEN since_us >= -1209600000000 /* -14d */ AND since_us < 0 THEN CAST(m_amount AS Nullable(Float64)) END) THEN inf ELSE CASE WHEN since_us >= -1209600000000 /* -14d */ AND since_us < 0 THEN CAST(m_amount AS Nullable(Float64)) END END) AS u_largest__pre,
    COUNT(CASE WHEN f_kind = 2 /* refunded */ AND since_us >= 0 AND ts_us < 1769900400000000 /* 2026-01-31 23:00:00.000000 UTC */ THEN 1 END) AS u_refunds,
    COUNT(CASE WHEN f_kind = 2 /* refunded */ AND since_us >= -1209600000000 /* -14d */ AND since_us < 0 THEN 1 END) AS u_refunds__pre
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
  md_entry_values.e_assignments__platform AS e_assignments__platform,
  md_attributes_users.e_users__age AS e_users__age,
  md_unit_orders.u_known AS u_known,
  md_unit_orders.u_buyers AS u_buyers,
  md_unit_orders.u_buyers__pre AS u_buyers__pre,
  md_unit_orders.u_revenue AS u_revenue,
  md_unit_orders.u_revenue__pre AS u_revenue__pre,
  md_unit_orders.u_products AS u_products,
  md_unit_orders.u_products__pre AS u_products__pre,
  md_unit_orders.u_largest AS u_largest,
  md_unit_orders.u_largest__pre AS u_largest__pre,
  md_unit_orders.u_refunds AS u_refunds,
  md_unit_orders.u_refunds__pre AS u_refunds__pre,
  md_attributes_users.attribute_rows AS rows_users,
  CASE WHEN ((e_assignments__platform = 'web')) AND md_attributes_users.attribute_rows >= 1 AND ((e_users__age >= 18)) AND COALESCE(md_unit_orders.u_known, 0) > 0 THEN 1 ELSE 0 END AS in_population
FROM md_entries
LEFT JOIN md_entry_values
  ON md_entry_values.unit = md_entries.unit
LEFT JOIN md_attributes_users
  ON md_attributes_users.unit = md_entries.unit
LEFT JOIN md_unit_orders
  ON md_unit_orders.unit = md_entries.unit
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_eligible ENGINE = Memory AS
-- Values of the units whose window is complete; NULL for the others.
SELECT
  md_units.arm AS arm,
  md_units.mixed AS mixed,
  md_units.epoch AS epoch,
  1 AS in_all,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN 1 ELSE 0 END AS in_mature_7d,
  CASE WHEN CAST(COALESCE(md_units.u_buyers, 0) AS Nullable(Float64)) >= CAST(1.0 AS Nullable(Float64)) THEN CAST(1.0 AS Nullable(Float64)) ELSE CAST(0.0 AS Nullable(Float64)) END AS v_buyers,
  CASE WHEN CAST(COALESCE(md_units.u_buyers__pre, 0) AS Nullable(Float64)) >= CAST(1.0 AS Nullable(Float64)) THEN CAST(1.0 AS Nullable(Float64)) ELSE CAST(0.0 AS Nullable(Float64)) END AS v_buyers__pre,
  COALESCE(md_units.u_revenue, 0) AS v_revenue,
  COALESCE(md_units.u_revenue__pre, 0) AS v_revenue__pre,
  CAST(COALESCE(md_units.u_buyers, 0) AS Nullable(Float64)) AS v_order_value__denominator,
  CAST(COALESCE(md_units.u_buyers__pre, 0) AS Nullable(Float64)) AS v_order_value__denominator__pre,
  CASE WHEN COALESCE(md_units.u_largest, 0) < CAST(0.0 AS Nullable(Float64)) THEN CAST(0.0 AS Nullable(Float64)) WHEN COALESCE(md_units.u_largest, 0) > CAST(500.0 AS Nullable(Float64)) THEN CAST(500.0 AS Nullable(Float64)) ELSE COALESCE(md_units.u_largest, 0) END AS v_largest,
  CASE WHEN COALESCE(md_units.u_largest, 0) < CAST(0.0 AS Nullable(Float64)) OR COALESCE(md_units.u_largest, 0) > CAST(500.0 AS Nullable(Float64)) THEN 1 ELSE 0 END AS c_largest,
  COALESCE(md_units.u_largest, 0) AS v_largest__uncapped,
  CASE WHEN COALESCE(md_units.u_largest__pre, 0) < CAST(0.0 AS Nullable(Float64)) THEN CAST(0.0 AS Nullable(Float64)) WHEN COALESCE(md_units.u_largest__pre, 0) > CAST(500.0 AS Nullable(Float64)) THEN CAST(500.0 AS Nullable(Float64)) ELSE COALESCE(md_units.u_largest__pre, 0) END AS v_largest__pre,
  CASE WHEN COALESCE(md_units.u_largest__pre, 0) < CAST(0.0 AS Nullable(Float64)) OR COALESCE(md_units.u_largest__pre, 0) > CAST(500.0 AS Nullable(Float64)) THEN 1 ELSE 0 END AS c_largest__pre,
  COALESCE(CAST(md_units.e_users__age AS Nullable(Float64)), 0) AS v_users__age,
  CASE WHEN md_units.e_users__age IS NOT NULL THEN CAST(0.0 AS Nullable(Float64)) ELSE CAST(1.0 AS Nullable(Float64)) END AS v_users__age__missing,
  CASE WHEN CAST(COALESCE(md_units.u_refunds, 0) AS Nullable(Float64)) >= CAST(1.0 AS Nullable(Float64)) THEN CAST(1.0 AS Nullable(Float64)) ELSE CAST(0.0 AS Nullable(Float64)) END AS v_refunds,
  CASE WHEN CAST(COALESCE(md_units.u_refunds__pre, 0) AS Nullable(Float64)) >= CAST(1.0 AS Nullable(Float64)) THEN CAST(1.0 AS Nullable(Float64)) ELSE CAST(0.0 AS Nullable(Float64)) END AS v_refunds__pre,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CAST(COALESCE(md_units.u_products, 0) AS Nullable(Float64)) END AS v_products,
  CASE WHEN md_units.exposed_us <= 1771714800000000 /* 2026-02-21 23:00:00.000000 UTC */ THEN CAST(COALESCE(md_units.u_products__pre, 0) AS Nullable(Float64)) END AS v_products__pre
FROM md_units
WHERE md_units.in_population = 1
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
CREATE OR REPLACE TEMPORARY TABLE md_centres ENGINE = Memory AS
-- One constant near the mean of every column, the same in all arms: products of differences lose no digits.
SELECT
  COALESCE(AVG(v_buyers), 0) AS v_buyers,
  COALESCE(AVG(v_buyers__pre), 0) AS v_buyers__pre,
  COALESCE(AVG(v_revenue), 0) AS v_revenue,
  COALESCE(AVG(v_revenue__pre), 0) AS v_revenue__pre,
  COALESCE(AVG(v_order_value__denominator), 0) AS v_order_value__denominator,
  COALESCE(AVG(v_order_value__denominator__pre), 0) AS v_order_value__denominator__pre,
  COALESCE(AVG(v_largest), 0) AS v_largest,
  COALESCE(AVG(v_largest__uncapped), 0) AS v_largest__uncapped,
  COALESCE(AVG(v_largest__pre), 0) AS v_largest__pre,
  COALESCE(AVG(v_users__age), 0) AS v_users__age,
  COALESCE(AVG(v_users__age__missing), 0) AS v_users__age__missing,
  COALESCE(AVG(v_refunds), 0) AS v_refunds,
  COALESCE(AVG(v_refunds__pre), 0) AS v_refunds__pre,
  COALESCE(AVG(v_products), 0) AS v_products,
  COALESCE(AVG(v_products__pre), 0) AS v_products__pre
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
    md_eligible.in_all AS in_all,
    md_eligible.in_mature_7d AS in_mature_7d,
    md_eligible.v_buyers AS v_buyers,
    md_eligible.v_buyers - md_centres.v_buyers AS d_buyers,
    md_eligible.v_buyers__pre AS v_buyers__pre,
    md_eligible.v_buyers__pre - md_centres.v_buyers__pre AS d_buyers__pre,
    md_eligible.v_revenue AS v_revenue,
    md_eligible.v_revenue - md_centres.v_revenue AS d_revenue,
    md_eligible.v_revenue__pre AS v_revenue__pre,
    md_eligible.v_revenue__pre - md_centres.v_revenue__pre AS d_revenue__pre,
    md_eligible.v_order_value__denominator AS v_order_value__denominator,
    md_eligible.v_order_value__denominator - md_centres.v_order_value__denominator AS d_order_value__denominator,
    md_eligible.v_order_value__denominator__pre AS v_order_value__denominator__pre,
    md_eligible.v_order_value__denominator__pre - md_centres.v_order_value__denominator__pre AS d_order_value__denominator__pre,
    md_eligible.v_largest AS v_largest,
    md_eligible.c_largest AS c_largest,
    md_eligible.v_largest - md_centres.v_largest AS d_largest,
    md_eligible.v_largest__uncapped AS v_largest__uncapped,
    md_eligible.v_largest__uncapped - md_centres.v_largest__uncapped AS d_largest__uncapped,
    md_eligible.v_largest__pre AS v_largest__pre,
    md_eligible.c_largest__pre AS c_largest__pre,
    md_eligible.v_largest__pre - md_centres.v_largest__pre AS d_largest__pre,
    md_eligible.v_users__age AS v_users__age,
    md_eligible.v_users__age - md_centres.v_users__age AS d_users__age,
    md_eligible.v_users__age__missing AS v_users__age__missing,
    md_eligible.v_users__age__missing - md_centres.v_users__age__missing AS d_users__age__missing,
    md_eligible.v_refunds AS v_refunds,
    md_eligible.v_refunds - md_centres.v_refunds AS d_refunds,
    md_eligible.v_refunds__pre AS v_refunds__pre,
    md_eligible.v_refunds__pre - md_centres.v_refunds__pre AS d_refunds__pre,
    md_eligible.v_products AS v_products,
    md_eligible.v_products - md_centres.v_products AS d_products,
    md_eligible.v_products__pre AS v_products__pre,
    md_eligible.v_products__pre - md_centres.v_products__pre AS d_products__pre,
    md_eligible.v_revenue - COALESCE(md_centres.v_revenue / NULLIF(md_centres.v_order_value__denominator, 0), 0) * md_eligible.v_order_value__denominator AS v_revenue__residual,
    md_eligible.v_revenue - COALESCE(md_centres.v_revenue / NULLIF(md_centres.v_order_value__denominator, 0), 0) * md_eligible.v_order_value__denominator AS d_revenue__residual
  FROM md_eligible
  CROSS JOIN md_centres
)

-- n: units, s: sums, q: products, k: cubes, a: largest size, z: non-zero, w: capped; by block and column.
SELECT
  arm,
  mixed,
  epoch,
  COUNT(*) AS group_rows,
  SUM(in_all) AS n__all,
  SUM(d_buyers) AS s__b0_0,
  SUM(d_buyers__pre) AS s__b0_1,
  SUM(d_revenue) AS s__b0_2,
  SUM(d_revenue__pre) AS s__b0_3,
  SUM(d_order_value__denominator) AS s__b0_4,
  SUM(d_order_value__denominator__pre) AS s__b0_5,
  SUM(d_revenue__residual) AS s__b0_6,
  SUM(d_largest) AS s__b0_7,
  SUM(d_largest__uncapped) AS s__b0_8,
  SUM(d_largest__pre) AS s__b0_9,
  SUM(d_users__age) AS s__b0_10,
  SUM(d_users__age__missing) AS s__b0_11,
  SUM(d_refunds) AS s__b0_12,
  SUM(d_refunds__pre) AS s__b0_13,
  SUM(d_buyers * d_buyers) AS q__b0_0_0,
  SUM(d_buyers * d_buyers__pre) AS q__b0_0_1,
  SUM(d_buyers__pre * d_buyers__pre) AS q__b0_1_1,
  SUM(d_revenue * d_revenue) AS q__b0_2_2,
  SUM(d_revenue * d_revenue__pre) AS q__b0_2_3,
  SUM(d_revenue * d_order_value__denominator) AS q__b0_2_4,
  SUM(d_revenue * d_order_value__denominator__pre) AS q__b0_2_5,
  SUM(d_revenue * d_revenue__residual) AS q__b0_2_6,
  SUM(d_revenue__pre * d_revenue__pre) AS q__b0_3_3,
  SUM(d_revenue__pre * d_order_value__denominator) AS q__b0_3_4,
  SUM(d_revenue__pre * d_order_value__denominator__pre) AS q__b0_3_5,
  SUM(d_revenue__pre * d_revenue__residual) AS q__b0_3_6,
  SUM(d_order_value__denominator * d_order_value__denominator) AS q__b0_4_4,
  SUM(d_order_value__denominator * d_order_value__denominator__pre) AS q__b0_4_5,
  SUM(d_order_value__denominator * d_revenue__residual) AS q__b0_4_6,
  SUM(d_order_value__denominator__pre * d_order_value__denominator__pre) AS q__b0_5_5,
  SUM(d_order_value__denominator__pre * d_revenue__residual) AS q__b0_5_6,
  SUM(d_order_value__denominator__pre * d_largest) AS q__b0_5_7,
  SUM(d_order_value__denominator__pre * d_largest__uncapped) AS q__b0_5_8,
  SUM(d_order_value__denominator__pre * d_largest__pre) AS q__b0_5_9,
  SUM(d_order_value__denominator__pre * d_users__age) AS q__b0_5_10,
  SUM(d_order_value__denominator__pre * d_users__age__missing) AS q__b0_5_11,
  SUM(d_revenue__residual * d_revenue__residual) AS q__b0_6_6,
  SUM(d_largest * d_largest) AS q__b0_7_7,
  SUM(d_largest * d_largest__uncapped) AS q__b0_7_8,
  SUM(d_largest * d_largest__pre) AS q__b0_7_9,
  SUM(d_largest * d_users__age) AS q__b0_7_10,
  SUM(d_largest * d_users__age__missing) AS q__b0_7_11,
  SUM(d_largest__uncapped * d_largest__uncapped) AS q__b0_8_8,
  SUM(d_largest__uncapped * d_largest__pre) AS q__b0_8_9,
  SUM(d_largest__uncapped * d_users__age) AS q__b0_8_10,
  SUM(d_largest__uncapped * d_users__age__missing) AS q__b0_8_11,
  SUM(d_largest__pre * d_largest__pre) AS q__b0_9_9,
  SUM(d_largest__pre * d_users__age) AS q__b0_9_10,
  SUM(d_largest__pre * d_users__age__missing) AS q__b0_9_11,
  SUM(d_users__age * d_users__age) AS q__b0_10_10,
  SUM(d_users__age * d_users__age__missing) AS q__b0_10_11,
  SUM(d_users__age__missing * d_users__age__missing) AS q__b0_11_11,
  SUM(d_refunds * d_refunds) AS q__b0_12_12,
  SUM(d_refunds * d_refunds__pre) AS q__b0_12_13,
  SUM(d_refunds__pre * d_refunds__pre) AS q__b0_13_13,
  SUM(d_buyers * d_buyers * d_buyers) AS k__b0_0,
  MAX(ABS(v_buyers)) AS a__b0_0,
  COUNT(CASE WHEN v_buyers <> 0 THEN 1 END) AS z__b0_0,
  SUM(d_buyers__pre * d_buyers__pre * d_buyers__pre) AS k__b0_1,
  MAX(ABS(v_buyers__pre)) AS a__b0_1,
  COUNT(CASE WHEN v_buyers__pre <> 0 THEN 1 END) AS z__b0_1,
  SUM(d_revenue * d_revenue * d_revenue) AS k__b0_2,
  MAX(ABS(v_revenue)) AS a__b0_2,
  COUNT(CASE WHEN v_revenue <> 0 THEN 1 END) AS z__b0_2,
  SUM(d_revenue__pre * d_revenue__pre * d_revenue__pre) AS k__b0_3,
  MAX(ABS(v_revenue__pre)) AS a__b0_3,
  COUNT(CASE WHEN v_revenue__pre <> 0 THEN 1 END) AS z__b0_3,
  SUM(d_order_value__denominator * d_order_value__denominator * d_order_value__denominator) AS k__b0_4,
  MAX(ABS(v_order_value__denominator)) AS a__b0_4,
  COUNT(CASE WHEN v_order_value__denominator <> 0 THEN 1 END) AS z__b0_4,
  SUM(d_order_value__denominator__pre * d_order_value__denominator__pre * d_order_value__denominator__pre) AS k__b0_5,
  MAX(ABS(v_order_value__denominator__pre)) AS a__b0_5,
  COUNT(CASE WHEN v_order_value__denominator__pre <> 0 THEN 1 END) AS z__b0_5,
  SUM(d_revenue__residual * d_revenue__residual * d_revenue__residual) AS k__b0_6,
  MAX(ABS(v_revenue__residual)) AS a__b0_6,
  COUNT(CASE WHEN v_revenue__residual <> 0 THEN 1 END) AS z__b0_6,
  SUM(d_largest * d_largest * d_largest) AS k__b0_7,
  MAX(ABS(v_largest)) AS a__b0_7,
  COUNT(CASE WHEN v_largest <> 0 THEN 1 END) AS z__b0_7,
  SUM(d_largest__uncapped * d_largest__uncapped * d_largest__uncapped) AS k__b0_8,
  MAX(ABS(v_largest__uncapped)) AS a__b0_8,
  COUNT(CASE WHEN v_largest__uncapped <> 0 THEN 1 END) AS z__b0_8,
  SUM(d_largest__pre * d_largest__pre * d_largest__pre) AS k__b0_9,
  MAX(ABS(v_largest__pre)) AS a__b0_9,
  COUNT(CASE WHEN v_largest__pre <> 0 THEN 1 END) AS z__b0_9,
  SUM(d_users__age * d_users__age * d_users__age) AS k__b0_10,
  MAX(ABS(v_users__age)) AS a__b0_10,
  COUNT(CASE WHEN v_users__age <> 0 THEN 1 END) AS z__b0_10,
  SUM(d_users__age__missing * d_users__age__missing * d_users__age__missing) AS k__b0_11,
  MAX(ABS(v_users__age__missing)) AS a__b0_11,
  COUNT(CASE WHEN v_users__age__missing <> 0 THEN 1 END) AS z__b0_11,
  SUM(d_refunds * d_refunds * d_refunds) AS k__b0_12,
  MAX(ABS(v_refunds)) AS a__b0_12,
  COUNT(CASE WHEN v_refunds <> 0 THEN 1 END) AS z__b0_12,
  SUM(d_refunds__pre * d_refunds__pre * d_refunds__pre) AS k__b0_13,
  MAX(ABS(v_refunds__pre)) AS a__b0_13,
  COUNT(CASE WHEN v_refunds__pre <> 0 THEN 1 END) AS z__b0_13,
  SUM(in_mature_7d) AS n__mature_7d,
  SUM(d_products) AS s__b1_0,
  SUM(d_products__pre) AS s__b1_1,
  SUM(d_products * d_products) AS q__b1_0_0,
  SUM(d_products * d_products__pre) AS q__b1_0_1,
  SUM(d_products__pre * d_products__pre) AS q__b1_1_1,
  SUM(d_products * d_products * d_products) AS k__b1_0,
  MAX(ABS(v_products)) AS a__b1_0,
  COUNT(CASE WHEN v_products <> 0 THEN 1 END) AS z__b1_0,
  SUM(d_products__pre * d_products__pre * d_products__pre) AS k__b1_1,
  MAX(ABS(v_products__pre)) AS a__b1_1,
  COUNT(CASE WHEN v_products__pre <> 0 THEN 1 END) AS z__b1_1,
  SUM(c_largest) AS w__b0_7,
  SUM(c_largest__pre) AS w__b0_9
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
    COUNT(CASE WHEN rows_users > 1 THEN 1 END) AS duplicates_users
  FROM md_units
  GROUP BY arm, mixed, epoch
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
  CAST(COALESCE(md_arm_counts.duplicates_users, 0) AS Nullable(Int64)) AS duplicates_users,
  CAST(md_exposure_audit.audit_rows AS Nullable(Int64)) AS audit_rows,
  CAST(md_exposure_audit.audit_null_unit AS Nullable(Int64)) AS audit_null_unit,
  CAST(md_exposure_audit.audit_null_time AS Nullable(Int64)) AS audit_null_time,
  CAST(md_exposure_audit.audit_before_start AS Nullable(Int64)) AS audit_before_start,
  CAST(md_exposure_audit.audit_on_or_after_end AS Nullable(Int64)) AS audit_on_or_after_end,
  CAST(md_exposure_audit.audit_after_as_of AS Nullable(Int64)) AS audit_after_as_of,
  CAST(md_exposure_audit.audit_not_loaded AS Nullable(Int64)) AS audit_not_loaded,
  CAST(md_exposure_audit.audit_unknown_arm AS Nullable(Int64)) AS audit_unknown_arm,
  CAST(md_centres.v_buyers AS Nullable(Float64)) AS c__b0_0,
  CAST(md_centres.v_buyers__pre AS Nullable(Float64)) AS c__b0_1,
  CAST(md_centres.v_revenue AS Nullable(Float64)) AS c__b0_2,
  CAST(md_centres.v_revenue__pre AS Nullable(Float64)) AS c__b0_3,
  CAST(md_centres.v_order_value__denominator AS Nullable(Float64)) AS c__b0_4,
  CAST(md_centres.v_order_value__denominator__pre AS Nullable(Float64)) AS c__b0_5,
  CAST(md_centres.v_largest AS Nullable(Float64)) AS c__b0_7,
  CAST(md_centres.v_largest__uncapped AS Nullable(Float64)) AS c__b0_8,
  CAST(md_centres.v_largest__pre AS Nullable(Float64)) AS c__b0_9,
  CAST(md_centres.v_users__age AS Nullable(Float64)) AS c__b0_10,
  CAST(md_centres.v_users__age__missing AS Nullable(Float64)) AS c__b0_11,
  CAST(md_centres.v_refunds AS Nullable(Float64)) AS c__b0_12,
  CAST(md_centres.v_refunds__pre AS Nullable(Float64)) AS c__b0_13,
  CAST(md_centres.v_products AS Nullable(Float64)) AS c__b1_0,
  CAST(md_centres.v_products__pre AS Nullable(Float64)) AS c__b1_1,
  CAST(md_groups.group_rows AS Nullable(Int64)) AS group_rows,
  CAST(md_groups.n__all AS Nullable(Float64)) AS n__all,
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
  CAST(md_groups.q__b0_0_0 AS Nullable(Float64)) AS q__b0_0_0,
  CAST(md_groups.q__b0_0_1 AS Nullable(Float64)) AS q__b0_0_1,
  CAST(md_groups.q__b0_1_1 AS Nullable(Float64)) AS q__b0_1_1,
  CAST(md_groups.q__b0_2_2 AS Nullable(Float64)) AS q__b0_2_2,
  CAST(md_groups.q__b0_2_3 AS Nullable(Float64)) AS q__b0_2_3,
  CAST(md_groups.q__b0_2_4 AS Nullable(Float64)) AS q__b0_2_4,
  CAST(md_groups.q__b0_2_5 AS Nullable(Float64)) AS q__b0_2_5,
  CAST(md_groups.q__b0_2_6 AS Nullable(Float64)) AS q__b0_2_6,
  CAST(md_groups.q__b0_3_3 AS Nullable(Float64)) AS q__b0_3_3,
  CAST(md_groups.q__b0_3_4 AS Nullable(Float64)) AS q__b0_3_4,
  CAST(md_groups.q__b0_3_5 AS Nullable(Float64)) AS q__b0_3_5,
  CAST(md_groups.q__b0_3_6 AS Nullable(Float64)) AS q__b0_3_6,
  CAST(md_groups.q__b0_4_4 AS Nullable(Float64)) AS q__b0_4_4,
  CAST(md_groups.q__b0_4_5 AS Nullable(Float64)) AS q__b0_4_5,
  CAST(md_groups.q__b0_4_6 AS Nullable(Float64)) AS q__b0_4_6,
  CAST(md_groups.q__b0_5_5 AS Nullable(Float64)) AS q__b0_5_5,
  CAST(md_groups.q__b0_5_6 AS Nullable(Float64)) AS q__b0_5_6,
  CAST(md_groups.q__b0_5_7 AS Nullable(Float64)) AS q__b0_5_7,
  CAST(md_groups.q__b0_5_8 AS Nullable(Float64)) AS q__b0_5_8,
  CAST(md_groups.q__b0_5_9 AS Nullable(Float64)) AS q__b0_5_9,
  CAST(md_groups.q__b0_5_10 AS Nullable(Float64)) AS q__b0_5_10,
  CAST(md_groups.q__b0_5_11 AS Nullable(Float64)) AS q__b0_5_11,
  CAST(md_groups.q__b0_6_6 AS Nullable(Float64)) AS q__b0_6_6,
  CAST(md_groups.q__b0_7_7 AS Nullable(Float64)) AS q__b0_7_7,
  CAST(md_groups.q__b0_7_8 AS Nullable(Float64)) AS q__b0_7_8,
  CAST(md_groups.q__b0_7_9 AS Nullable(Float64)) AS q__b0_7_9,
  CAST(md_groups.q__b0_7_10 AS Nullable(Float64)) AS q__b0_7_10,
  CAST(md_groups.q__b0_7_11 AS Nullable(Float64)) AS q__b0_7_11,
  CAST(md_groups.q__b0_8_8 AS Nullable(Float64)) AS q__b0_8_8,
  CAST(md_groups.q__b0_8_9 AS Nullable(Float64)) AS q__b0_8_9,
  CAST(md_groups.q__b0_8_10 AS Nullable(Float64)) AS q__b0_8_10,
  CAST(md_groups.q__b0_8_11 AS Nullable(Float64)) AS q__b0_8_11,
  CAST(md_groups.q__b0_9_9 AS Nullable(Float64)) AS q__b0_9_9,
  CAST(md_groups.q__b0_9_10 AS Nullable(Float64)) AS q__b0_9_10,
  CAST(md_groups.q__b0_9_11 AS Nullable(Float64)) AS q__b0_9_11,
  CAST(md_groups.q__b0_10_10 AS Nullable(Float64)) AS q__b0_10_10,
  CAST(md_groups.q__b0_10_11 AS Nullable(Float64)) AS q__b0_10_11,
  CAST(md_groups.q__b0_11_11 AS Nullable(Float64)) AS q__b0_11_11,
  CAST(md_groups.q__b0_12_12 AS Nullable(Float64)) AS q__b0_12_12,
  CAST(md_groups.q__b0_12_13 AS Nullable(Float64)) AS q__b0_12_13,
  CAST(md_groups.q__b0_13_13 AS Nullable(Float64)) AS q__b0_13_13,
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
  CAST(md_groups.w__b0_7 AS Nullable(Float64)) AS w__b0_7,
  CAST(md_groups.w__b0_9 AS Nullable(Float64)) AS w__b0_9,
  CAST(md_groups.n__mature_7d AS Nullable(Float64)) AS n__mature_7d,
  CAST(md_groups.s__b1_0 AS Nullable(Float64)) AS s__b1_0,
  CAST(md_groups.s__b1_1 AS Nullable(Float64)) AS s__b1_1,
  CAST(md_groups.q__b1_0_0 AS Nullable(Float64)) AS q__b1_0_0,
  CAST(md_groups.q__b1_0_1 AS Nullable(Float64)) AS q__b1_0_1,
  CAST(md_groups.q__b1_1_1 AS Nullable(Float64)) AS q__b1_1_1,
  CAST(md_groups.k__b1_0 AS Nullable(Float64)) AS k__b1_0,
  CAST(md_groups.a__b1_0 AS Nullable(Float64)) AS a__b1_0,
  CAST(md_groups.z__b1_0 AS Nullable(Float64)) AS z__b1_0,
  CAST(md_groups.k__b1_1 AS Nullable(Float64)) AS k__b1_1,
  CAST(md_groups.a__b1_1 AS Nullable(Float64)) AS a__b1_1,
  CAST(md_groups.z__b1_1 AS Nullable(Float64)) AS z__b1_1,
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
  CAST(NULL AS Nullable(Int64)) AS duplicates_users,
  CAST(NULL AS Nullable(Int64)) AS audit_rows,
  CAST(NULL AS Nullable(Int64)) AS audit_null_unit,
  CAST(NULL AS Nullable(Int64)) AS audit_null_time,
  CAST(NULL AS Nullable(Int64)) AS audit_before_start,
  CAST(NULL AS Nullable(Int64)) AS audit_on_or_after_end,
  CAST(NULL AS Nullable(Int64)) AS audit_after_as_of,
  CAST(NULL AS Nullable(Int64)) AS audit_not_loaded,
  CAST(NULL AS Nullable(Int64)) AS audit_unknown_arm,
  CAST(NULL AS Nullable(Float64)) AS c__b0_0,
  CAST(NULL AS Nullable(Float64)) AS c__b0_1,
  CAST(NULL AS Nullable(Float64)) AS c__b0_2,
  CAST(NULL AS Nullable(Float64)) AS c__b0_3,
  CAST(NULL AS Nullable(Float64)) AS c__b0_4,
  CAST(NULL AS Nullable(Float64)) AS c__b0_5,
  CAST(NULL AS Nullable(Float64)) AS c__b0_7,
  CAST(NULL AS Nullable(Float64)) AS c__b0_8,
  CAST(NULL AS Nullable(Float64)) AS c__b0_9,
  CAST(NULL AS Nullable(Float64)) AS c__b0_10,
  CAST(NULL AS Nullable(Float64)) AS c__b0_11,
  CAST(NULL AS Nullable(Float64)) AS c__b0_12,
  CAST(NULL AS Nullable(Float64)) AS c__b0_13,
  CAST(NULL AS Nullable(Float64)) AS c__b1_0,
  CAST(NULL AS Nullable(Float64)) AS c__b1_1,
  CAST(NULL AS Nullable(Int64)) AS group_rows,
  CAST(NULL AS Nullable(Float64)) AS n__all,
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
  CAST(NULL AS Nullable(Float64)) AS q__b0_0_0,
  CAST(NULL AS Nullable(Float64)) AS q__b0_0_1,
  CAST(NULL AS Nullable(Float64)) AS q__b0_1_1,
  CAST(NULL AS Nullable(Float64)) AS q__b0_2_2,
  CAST(NULL AS Nullable(Float64)) AS q__b0_2_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_2_4,
  CAST(NULL AS Nullable(Float64)) AS q__b0_2_5,
  CAST(NULL AS Nullable(Float64)) AS q__b0_2_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_3_3,
  CAST(NULL AS Nullable(Float64)) AS q__b0_3_4,
  CAST(NULL AS Nullable(Float64)) AS q__b0_3_5,
  CAST(NULL AS Nullable(Float64)) AS q__b0_3_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_4,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_5,
  CAST(NULL AS Nullable(Float64)) AS q__b0_4_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_5,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_7,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_8,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_9,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_10,
  CAST(NULL AS Nullable(Float64)) AS q__b0_5_11,
  CAST(NULL AS Nullable(Float64)) AS q__b0_6_6,
  CAST(NULL AS Nullable(Float64)) AS q__b0_7_7,
  CAST(NULL AS Nullable(Float64)) AS q__b0_7_8,
  CAST(NULL AS Nullable(Float64)) AS q__b0_7_9,
  CAST(NULL AS Nullable(Float64)) AS q__b0_7_10,
  CAST(NULL AS Nullable(Float64)) AS q__b0_7_11,
  CAST(NULL AS Nullable(Float64)) AS q__b0_8_8,
  CAST(NULL AS Nullable(Float64)) AS q__b0_8_9,
  CAST(NULL AS Nullable(Float64)) AS q__b0_8_10,
  CAST(NULL AS Nullable(Float64)) AS q__b0_8_11,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_9,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_10,
  CAST(NULL AS Nullable(Float64)) AS q__b0_9_11,
  CAST(NULL AS Nullable(Float64)) AS q__b0_10_10,
  CAST(NULL AS Nullable(Float64)) AS q__b0_10_11,
  CAST(NULL AS Nullable(Float64)) AS q__b0_11_11,
  CAST(NULL AS Nullable(Float64)) AS q__b0_12_12,
  CAST(NULL AS Nullable(Float64)) AS q__b0_12_13,
  CAST(NULL AS Nullable(Float64)) AS q__b0_13_13,
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
  CAST(NULL AS Nullable(Float64)) AS w__b0_7,
  CAST(NULL AS Nullable(Float64)) AS w__b0_9,
  CAST(NULL AS Nullable(Float64)) AS n__mature_7d,
  CAST(NULL AS Nullable(Float64)) AS s__b1_0,
  CAST(NULL AS Nullable(Float64)) AS s__b1_1,
  CAST(NULL AS Nullable(Float64)) AS q__b1_0_0,
  CAST(NULL AS Nullable(Float64)) AS q__b1_0_1,
  CAST(NULL AS Nullable(Float64)) AS q__b1_1_1,
  CAST(NULL AS Nullable(Float64)) AS k__b1_0,
  CAST(NULL AS Nullable(Float64)) AS a__b1_0,
  CAST(NULL AS Nullable(Float64)) AS z__b1_0,
  CAST(NULL AS Nullable(Float64)) AS k__b1_1,
  CAST(NULL AS Nullable(Float64)) AS a__b1_1,
  CAST(NULL AS Nullable(Float64)) AS z__b1_1,
  CAST(day_us AS Nullable(Int64)) AS seen_us,
  CAST(entered_units AS Nullable(Int64)) AS entered_units,
  CAST(entered_again AS Nullable(Int64)) AS entered_again
FROM md_entry_days
SETTINGS join_use_nulls = 1, prefer_column_name_to_alias = 1, aggregate_functions_null_for_empty = 1, group_by_use_nulls = 1, use_variant_as_common_type = 0, count_distinct_implementation = 'uniqExact', transform_null_in = 0, cast_keep_nullable = 0;
