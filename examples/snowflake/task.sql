-- Before, whenever definitions change:
--   metricdef build checkout --dialect snowflake --as-of "{{as_of}}"
--   PUT file://target/checkout/snowflake/checkout.sql @experiments.jobs/checkout/snowflake AUTO_COMPRESS = FALSE OVERWRITE = TRUE
CREATE OR REPLACE TASK experiments.moments_checkout
  WAREHOUSE = experiments
  SCHEDULE = 'USING CRON 15 6 * * * Europe/Berlin'
AS
BEGIN
  LET as_of VARCHAR := TO_CHAR(CONVERT_TIMEZONE('Europe/Berlin', CURRENT_TIMESTAMP), 'YYYY-MM-DD');
  EXECUTE IMMEDIATE 'EXECUTE IMMEDIATE FROM @experiments.jobs/checkout/snowflake/checkout.sql USING (as_of => ''' || as_of || ''')';
END;

ALTER TASK experiments.moments_checkout RESUME;
