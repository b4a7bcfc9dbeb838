//! The order in which the servers of a domain are tried (RFC 2782, XEP-0368 1.2.0).

/// One SRV record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub priority: u16,
    pub weight: u16,
    pub host: String,
    pub port: u16,
    /// From `_xmpps-server`: TLS at once.
    pub direct: bool,
    /// DNSSEC proves it.
    pub signed: bool,
}

/// Records tried for one domain; more are left out.
const MOST: usize = 16;

/// Puts records of both services into one order: by priority, within one by weight and chance. `chance` gives a number
/// below its argument. A host of `.` says that the service is not there, and is left out.
pub(super) fn order(mut records: Vec<Record>, mut chance: impl FnMut(u32) -> u32) -> Vec<Record> {
    records.retain(|record| !matches!(record.host.as_str(), "" | ".") && record.port != 0);
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len().min(MOST));
    while let Some(priority) = records.first().map(|record| record.priority) {
        let same = records.partition_point(|record| record.priority == priority);
        let sum: u32 = records
            .iter()
            .take(same)
            .map(|record| u32::from(record.weight))
            .sum();
        let mut left = chance(sum.saturating_add(1));
        let chosen = records.iter().take(same).position(|record| {
            let weight = u32::from(record.weight);
            let hit = left <= weight;
            left = left.saturating_sub(weight);
            hit
        });
        ordered.push(records.remove(chosen.unwrap_or(0)));
        if ordered.len() == MOST {
            break;
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, host: &str) -> Record {
        Record {
            priority,
            weight,
            host: host.to_owned(),
            port: 5269,
            ..Record::default()
        }
    }

    fn hosts(records: Vec<Record>, chance: u32) -> Vec<String> {
        let ordered = order(records, |below| chance.min(below - 1));
        ordered.into_iter().map(|record| record.host).collect()
    }

    #[test]
    fn lower_priorities_first_then_by_weight_and_chance() {
        let records = vec![record(20, 0, "c"), record(10, 5, "b"), record(10, 1, "a")];
        assert_eq!(hosts(records.clone(), 0), ["a", "b", "c"]);
        assert_eq!(hosts(records.clone(), 1), ["a", "b", "c"]);
        assert_eq!(hosts(records, 2), ["b", "a", "c"]);
    }

    #[test]
    fn junk_does_not_disturb_the_others() {
        let mut nowhere = record(1, 1, "z");
        nowhere.port = 0;
        let records = vec![
            record(0, 0, "."),
            nowhere,
            record(0, 0, ""),
            record(9, 0, "a"),
        ];
        assert_eq!(hosts(records, 0), ["a"]);
        assert_eq!(order(vec![record(0, 0, "."); 40], |_| 0), []);
        assert_eq!(
            order(vec![record(1, 65535, "x"); 40], |below| below - 1).len(),
            MOST
        );
    }
}
