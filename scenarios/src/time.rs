//! Virtual time as it is written on a command line and read in a report.

/// Units, with how many nanoseconds they are; longer names first, for they end alike.
const UNITS: [(&str, u64); 5] =
    [("ns", 1), ("us", 1_000), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];

/// Reads a time such as `3.25s`, `150ms` or `3250000000` in nanoseconds.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn parse(text: &str) -> Result<u64, String> {
    exact(text).ok_or_else(|| {
        "it must be a number with a unit, such as 3.25s, 150ms, 20us or 1500ns, of at most 584 years \
         and no fraction of a nanosecond"
            .to_owned()
    })
}

fn exact(text: &str) -> Option<u64> {
    let unit = UNITS.iter().find_map(|(name, ns)| Some((text.strip_suffix(name)?, *ns)));
    let (number, unit_ns) = unit.unwrap_or((text, 1));
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return None;
    }
    let scale = 10_u64.checked_pow(u32::try_from(part.len()).ok()?)?;
    let part_ns = u128::from(part.parse::<u64>().ok()?) * u128::from(unit_ns);
    if part_ns % u128::from(scale) != 0 {
        return None;
    }
    let part_ns = u64::try_from(part_ns / u128::from(scale)).ok()?;
    whole.parse::<u64>().ok()?.checked_mul(unit_ns)?.checked_add(part_ns)
}

/// A time in seconds, with all nine places.
#[must_use]
pub fn seconds(at_ns: u64) -> String {
    format!("{}.{:09} s", at_ns / 1_000_000_000, at_ns % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_to_the_nanosecond() {
        for (text, at_ns) in [
            ("3.25s", 3_250_000_000),
            ("0s", 0),
            ("150ms", 150_000_000),
            ("1.5us", 1_500),
            ("20µs", 20_000),
            ("7ns", 7),
            ("3250000000", 3_250_000_000),
            ("0.000000001s", 1),
        ] {
            assert_eq!(parse(text), Ok(at_ns), "{text}");
        }
        assert_eq!(seconds(3_250_000_000), "3.250000000 s");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "s",
            "-1s",
            "1 s",
            "1.s",
            ".5s",
            "1e3",
            "0.5ns",
            "1.0000000001s",
            "1h",
            "99999999999s",
        ] {
            assert!(parse(text).expect_err(text).contains("such as 3.25s"), "{text}");
        }
    }
}
