SELECT pg_notify('hubbub_heads', $1)
