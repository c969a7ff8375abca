//! A node's two clocks, as functions of the world's time.

use crate::{
    config::{ClockConfig, Site},
    env::NodeId,
    machine::WALL_START_NS,
    random::Stream,
};

/// A rate is given in so many parts.
const PARTS: u64 = 1_000_000_000;

/// The clocks of one machine. Only the origin of the monotonic one changes from boot to boot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// What the monotonic clock of this boot would have shown at the start of the world.
    pub(crate) origin_ns: u64,
    /// Nanoseconds of the monotonic clock in [`PARTS`] nanoseconds of the world.
    rate: u64,
    /// How far the wall clock is ahead of the world's.
    wall_ahead_ns: i128,
}

impl Clock {
    pub(crate) fn new(config: ClockConfig, seed: u64, node: NodeId, site: Site) -> Self {
        if site == Site::Outside || config == ClockConfig::default() {
            return Self { origin_ns: 0, rate: PARTS, wall_ahead_ns: 0 };
        }
        let mut stream = Stream::new(seed, "clock-skew", u64::from(node.0), 0);
        let mut within = |most: u64| {
            let drawn = stream.below(most.saturating_mul(2).saturating_add(1));
            i128::from(drawn) - i128::from(most)
        };
        let skew_ns = within(config.wall_skew_ns.min(i64::MAX as u64));
        let drift = within(u64::from(config.drift_ppm.min(ClockConfig::DRIFT_PPM_MAX)) * 1_000);
        let rate = i128::from(PARTS) + drift;
        Self {
            origin_ns: 0,
            rate: u64::try_from(rate).expect("the drift is smaller than the rate"),
            wall_ahead_ns: skew_ns,
        }
    }

    /// What the monotonic clock shows at a moment of the world.
    #[inline]
    pub(crate) fn local(&self, world_ns: u64) -> u64 {
        if self.rate == PARTS {
            return world_ns.saturating_add(self.origin_ns);
        }
        let run_ns = u128::from(world_ns) * u128::from(self.rate) / u128::from(PARTS);
        saturate(run_ns + u128::from(self.origin_ns))
    }

    /// The first moment of the world at which the monotonic clock shows `local_ns` or more.
    #[inline]
    pub(crate) fn world(&self, local_ns: u64) -> u64 {
        let run_ns = local_ns.saturating_sub(self.origin_ns);
        if self.rate == PARTS {
            return run_ns;
        }
        // floor(t * rate / PARTS) >= run if and only if t >= run * PARTS / rate.
        saturate((u128::from(run_ns) * u128::from(PARTS)).div_ceil(u128::from(self.rate)))
    }

    /// What the wall clock shows at a moment of the world; 0 if it was set to before 1970.
    #[inline]
    pub(crate) fn wall(&self, world_ns: u64) -> u64 {
        let ns = i128::from(WALL_START_NS) + i128::from(world_ns) + self.wall_ahead_ns;
        u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
    }

    /// Sets the wall clock to another time.
    pub(crate) fn step(&mut self, by_ns: i64) {
        self.wall_ahead_ns += i128::from(by_ns);
    }
}

fn saturate(wide: u128) -> u64 {
    u64::try_from(wide).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks() -> impl Iterator<Item = Clock> {
        let config = ClockConfig { wall_skew_ns: 1_000, drift_ppm: 200 };
        (0..200).map(move |seed| Clock {
            origin_ns: 12_345,
            ..Clock::new(config, seed, NodeId(3), Site::DataCentre)
        })
    }

    #[test]
    fn the_moment_of_a_deadline_is_the_first_at_which_the_clock_shows_it() {
        for clock in clocks() {
            for step in 1..200u64 {
                let deadline = clock.origin_ns + step * 7_777_777 + step % 7;
                let at = clock.world(deadline);
                assert!(clock.local(at) >= deadline, "{clock:?} wakes early for {deadline}");
                assert!(clock.local(at - 1) < deadline, "{clock:?} wakes late for {deadline}");
            }
            assert_eq!(clock.world(0), 0);
            assert!(clock.local(clock.world(u64::MAX - 1)) >= u64::MAX / 2);
        }
    }

    #[test]
    fn skew_and_drift_reach_over_their_whole_range_and_no_further() {
        let ahead: Vec<_> = clocks().map(|clock| clock.wall_ahead_ns).collect();
        assert!(ahead.iter().all(|ns| ns.abs() <= 1_000), "{ahead:?}");
        assert!(ahead.iter().any(|ns| *ns < -900) && ahead.iter().any(|ns| *ns > 900));
        let rates: Vec<_> = clocks().map(|clock| clock.rate).collect();
        assert!(rates.iter().all(|rate| rate.abs_diff(PARTS) <= 200_000), "{rates:?}");
        assert!(rates.iter().any(|rate| *rate < PARTS - 180_000));
        assert!(rates.iter().any(|rate| *rate > PARTS + 180_000));
    }

    #[test]
    fn outside_the_data_centre_and_by_default_clocks_are_exact() {
        let config = ClockConfig { wall_skew_ns: u64::MAX, drift_ppm: u32::MAX };
        for (config, site) in [(config, Site::Outside), (ClockConfig::default(), Site::DataCentre)]
        {
            let clock = Clock::new(config, 1, NodeId(0), site);
            assert_eq!((clock.rate, clock.wall_ahead_ns), (PARTS, 0));
        }
    }

    #[test]
    fn a_wall_clock_stops_at_both_ends_of_time() {
        let mut clock = Clock::new(ClockConfig::default(), 1, NodeId(0), Site::DataCentre);
        clock.step(i64::MIN);
        assert_eq!(clock.wall(5), 0);
        clock.step(i64::MAX);
        assert_eq!(clock.wall(5), WALL_START_NS + 4);
        (0..3).for_each(|_| clock.step(i64::MAX));
        assert_eq!(clock.wall(5), u64::MAX);
    }
}
