-- Takes a key for attempt $4, or says what stands under it. A key that is older than $6 hours counts as
-- gone; one whose attempt has not ended in its time can be taken over by the same request. A user has at
-- most $7 keys. No row of the table is there, and nothing was taken, if another attempt came at the very
-- same moment.
WITH full_up AS (
    SELECT count(*) >= $7 AS is_full
    FROM (SELECT FROM request_keys WHERE user_id = $1 LIMIT $7) AS kept
),
taken AS (
    INSERT INTO request_keys AS k (user_id, key, fingerprint, claim, claimed_until)
    SELECT $1::uuid, $2::text, $3::bytea, $4::uuid, now() + make_interval(secs => $5::double precision)
    FROM full_up
    WHERE NOT is_full OR EXISTS (SELECT FROM request_keys WHERE user_id = $1 AND key = $2)
    ON CONFLICT (user_id, key) DO UPDATE
    SET fingerprint = excluded.fingerprint,
        claim = excluded.claim,
        claimed_until = excluded.claimed_until,
        status = NULL,
        content_type = NULL,
        body = NULL,
        created_at = now()
    WHERE k.created_at < now() - make_interval(hours => $6)
       OR (k.status IS NULL AND k.claimed_until < now() AND k.fingerprint = excluded.fingerprint)
    RETURNING true
)
SELECT EXISTS (SELECT FROM taken) AS is_taken, full_up.is_full,
       k.fingerprint, k.status, k.content_type, k.body
FROM full_up
LEFT JOIN request_keys AS k ON k.user_id = $1 AND k.key = $2
