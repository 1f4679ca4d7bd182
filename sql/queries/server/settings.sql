SELECT current_setting('server_version'),
       current_setting('server_version_num')::int4,
       current_setting('fsync') = 'on',
       current_setting('full_page_writes') = 'on',
       current_setting('max_connections')::int4,
       current_setting('superuser_reserved_connections')::int4
         -- Postgres 16 and newer.
         + coalesce(current_setting('reserved_connections', true)::int4, 0)
