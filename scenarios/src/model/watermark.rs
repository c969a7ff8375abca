//! The rule of the watermark: no earlier event time is expected than the latest one of the partition
//! that is furthest behind, idle ones aside, less a delay. It never goes back.

/// What an epoch's cut says that the watermark depends on.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The latest event time of each partition below the cut's end, in milliseconds since 1970; 0
    /// for none.
    pub latest_ms: Vec<u64>,
    /// Partitions that do not hold the watermark back.
    pub idle: &'a [u16],
}

/// The watermark of each epoch, in milliseconds since 1970, given the epochs before it; and, behind
/// these, the one of the epoch after the last.
#[must_use]
pub fn watermarks(epochs: &[Seen<'_>], delay_ms: u64) -> Vec<u64> {
    let mut watermarks = vec![0];
    for (epoch, own) in epochs.iter().zip(0..) {
        let partitions = (0u16..).zip(&epoch.latest_ms);
        let busy = partitions.filter(|(partition, _)| !epoch.idle.contains(partition));
        let behind = busy.map(|(_, latest_ms)| latest_ms.saturating_sub(delay_ms)).min();
        let before: u64 = watermarks[own];
        watermarks.push(before.max(behind.unwrap_or(0)));
    }
    watermarks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_furthest_behind_holds_it_back_unless_it_is_idle() {
        let seen = |latest_ms: &[u64], idle| Seen { latest_ms: latest_ms.to_vec(), idle };
        let epochs = [
            seen(&[30, 0], &[1]),
            seen(&[90, 50], &[]),
            seen(&[90, 95], &[0]),
            seen(&[90, 95], &[0, 1]),
            seen(&[91, 95], &[]),
        ];
        assert_eq!(watermarks(&epochs, 10), [0, 20, 40, 85, 85, 85]);
        assert_eq!(watermarks(&epochs, 0), [0, 30, 50, 95, 95, 95]);
        assert_eq!(watermarks(&epochs[..2], 60), [0, 0, 0]);
    }
}
