//! Write-once registers over several stores: single-decree Paxos for each name, without a leader.
//!
//! Pure: no I/O, no clock, no machine. Persisting is an output: handling a request gives the new
//! state of the register, which must be durable before the answer, given beside it, is sent.
//!
//! | file | what |
//! |---|---|
//! | [`slot`] | one register at one store: what it promised and accepted |
//! | [`acceptor`] | all registers of one store, with its incarnation, its floor and its fence |
//! | [`votes`] | answers of several stores, and which of them count |
//! | [`proposer`] | has a register decided |
//! | [`reader`] | reads one register, or a family of them |
//! | [`rebuild`] | makes a store that forgot take part again |
//!
//! **Amnesia.** A store that lost its disk, or a part of its registers, may have voted for what it
//! no longer knows. Each store therefore has an incarnation. One that forgot takes a higher one,
//! announces it, and abstains until so many others handed over what they know that every majority
//! that the forgotten votes could have been part of has one among them. Such a voter either voted
//! before it handed over, and then the vote's traces are adopted; or after it, and then its vote
//! says that the forgotten one is void. See [`votes`] and [`rebuild`].
//!
//! Protocol: Lamport, *Paxos Made Simple* (2001). What the exhaustive check in
//! `tests/register_exhaustive.rs` covers, and what not, is written there.

pub mod acceptor;
pub mod proposer;
pub mod reader;
pub mod rebuild;
pub mod slot;
pub mod votes;

pub use self::{
    acceptor::{Acceptor, Handled, Refused},
    proposer::{Next, Proposer},
    reader::{Reading, combine},
    rebuild::Rebuild,
    slot::{Accepted, Ask, Ballot, Slot, Vote},
    votes::{Stamp, Votes, majority},
};
