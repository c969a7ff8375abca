//! Lines of auctions, as Nexmark has them: of twenty, two are people, four are auctions, and the
//! others bids, mostly on auctions that are new, by people that are new.

use unplug_sim::random::PlanStream;

/// Of so many lines, so many are people, and so many auctions.
const TURN: u32 = 20;
const PEOPLE: u32 = 2;
const AUCTIONS: u32 = 4;
/// Bids are on the last auctions, auctions of the last people, mostly.
const RECENT: u32 = 12;

const STATES: [&str; 6] = ["OR", "ID", "CA", "WA", "AZ", "WY"];
const CHANNELS: [&str; 3] = ["ferry", "market", "square"];

/// The line with this number.
pub(super) fn line(number: u32, stream: &mut PlanStream) -> String {
    let (turn, place) = (number / TURN, number % TURN);
    let people = turn * PEOPLE + place.min(PEOPLE);
    let auctions = turn * AUCTIONS + place.saturating_sub(PEOPLE).min(AUCTIONS);
    if place < PEOPLE {
        let state = STATES[stream.index(STATES.len())];
        return format!(
            r#"{{"type": "person", "id": {people}, "name": "n{people}", "state": "{state}"}}"#
        );
    }
    let person = recent(people, stream);
    if place < PEOPLE + AUCTIONS {
        let category = 10 + stream.below(4);
        return format!(
            r#"{{"type": "auction", "id": {auctions}, "seller": {person}, "category": {category}}}"#
        );
    }
    let (auction, price) = (recent(auctions, stream), 100 + stream.below(9_900));
    let channel = CHANNELS[stream.index(CHANNELS.len())];
    format!(
        r#"{{"type": "bid", "auction": {auction}, "bidder": {person}, "price": {price}, "url": "www/{channel}/{}"}}"#,
        auction % 5
    )
}

/// One of so many, mostly one of the last.
fn recent(count: u32, stream: &mut PlanStream) -> u64 {
    let all = !stream.chance(9, 10);
    let first = if all { 0 } else { count.saturating_sub(RECENT) };
    u64::from(first) + stream.below(u64::from(count - first).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_sells_or_bids_is_there_and_so_is_what_is_bid_on() {
        let mut stream = PlanStream::of_plan(3, "auctions");
        let (mut people, mut auctions, mut bids) = (0, 0, 0);
        for number in 0..1_000 {
            let line: serde_json::Value =
                serde_json::from_str(&line(number, &mut stream)).expect("JSON");
            let number = |name: &str| line[name].as_u64().expect("a number");
            match line["type"].as_str() {
                Some("person") => {
                    assert_eq!(number("id"), people);
                    people += 1;
                }
                Some("auction") => {
                    assert_eq!(number("id"), auctions);
                    assert!(number("seller") < people);
                    auctions += 1;
                }
                _ => {
                    assert!(number("auction") < auctions && number("bidder") < people);
                    bids += 1;
                }
            }
        }
        assert_eq!((people, auctions, bids), (100, 200, 700));
    }
}
