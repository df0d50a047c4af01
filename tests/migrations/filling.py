"""Rows in every table."""

FILL = """
INSERT INTO profiles (id, email) VALUES ('00000000-0000-0000-0000-000000000001', 'a@example.org');
INSERT INTO projects (name, user_id) SELECT 'p', id FROM profiles;
INSERT INTO crawl_jobs (project_id, name, keywords) SELECT id, 'c', '["cat"]' FROM projects;
INSERT INTO images (crawl_job_id, original_url) SELECT id, 'https://example.org/' || n
    FROM crawl_jobs, generate_series(1, 100) n;
INSERT INTO activity_logs (user_id, action) SELECT id, 'created' FROM profiles;
INSERT INTO validation_jobs (crawl_job_id, name) SELECT id, 'v' FROM crawl_jobs;
INSERT INTO export_jobs (crawl_job_id, user_id, name) SELECT c.id, p.id, 'e' FROM crawl_jobs c, profiles p;
"""

FILL_HEAD = """
INSERT INTO crawl_chunks (crawl_job_id, position, source, label) SELECT id, 0, 'openverse', 'cat' FROM crawl_jobs;
INSERT INTO verdicts (validation_job_id, image_id, valid) SELECT v.id, i.id, true FROM validation_jobs v, images i;
INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('default', 'crawl');
INSERT INTO hosts (authority) VALUES ('example.org:443');
"""

FILL_SERVICE = """
INSERT INTO credentials (user_id, password_hash) SELECT id, 'argon2' FROM profiles;
INSERT INTO sessions (token_hash, user_id, expires_at) SELECT sha256('s'), id, now() FROM profiles;
INSERT INTO login_links (token_hash, user_id, expires_at) SELECT sha256('l'), id, now() FROM profiles;
INSERT INTO login_failures (key) VALUES ('account a@example.org');
INSERT INTO api_keys (user_id, name, prefix, secret_hash, scopes)
    SELECT id, 'k', 'gls_k', sha256('k'), '{read}' FROM profiles;
INSERT INTO idempotency_keys (user_id, key, request_hash, resource_type, resource_id)
    SELECT id, 'once', sha256('r'), 'crawl_jobs', 1 FROM profiles;
INSERT INTO decisions (project_id, sha256, choice, user_id) SELECT id, sha256('d'), 'reject', user_id FROM projects;
INSERT INTO export_splits (export_job_id, name, given, hashes) SELECT id, 'test', false, sha256('t') FROM export_jobs;
INSERT INTO takedowns (url, user_id) SELECT 'https://example.org/1', id FROM profiles;
"""

FILL_DATASET = """
INSERT INTO erased_blobs (sha256) VALUES (sha256('e'));
"""
