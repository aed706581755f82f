/** What every claim takes. */
export const request = `IN p_id VARBINARY(64), IN p_operation INT, IN p_policy INT, IN p_bind TINYINT,
  IN p_principal VARBINARY(255), IN p_actor VARBINARY(255), IN p_version INT, IN p_key_id INT, IN p_digest VARBINARY(64),
  IN p_keyed LONGTEXT CHARACTER SET ascii, IN p_attempt CHAR(36) CHARACTER SET ascii COLLATE ascii_bin, IN p_lease_ms BIGINT,
  IN p_resolver_ms BIGINT, IN p_begun TINYINT, IN p_rerunnable TINYINT, IN p_owner TEXT CHARACTER SET utf8mb4, IN p_trace TEXT CHARACTER SET utf8mb4`

/** The same, handed on to another procedure. */
export const given = `p_id, p_operation, p_policy, p_bind, p_principal, p_actor, p_version, p_key_id, p_digest, p_keyed, p_attempt,
    p_lease_ms, p_resolver_ms, p_begun, p_rerunnable, p_owner, p_trace`
