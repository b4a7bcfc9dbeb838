//! Truths that several features ask for: accounts, rosters, the message log, quotas.
