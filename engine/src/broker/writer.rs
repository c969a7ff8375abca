//! The one writer: all that waits goes into one round, a round is durable before any of it is
//! acknowledged.

use futures_channel::{mpsc, oneshot};
use futures_util::{StreamExt, future::try_join_all};
use unplug_sim::env::{Env, Exit, Refusal, Remedy};

use crate::{
    defect::Defect,
    tuple::{Partition, Tuple},
};

use super::{
    Answer, PAGE_BYTES, PRODUCE_BYTES_MAX, PRODUCE_TUPLES_MAX, State, TUPLE_BYTES_MAX,
    partition::Part, producers::Found,
};

/// A request that waits for the writer. There are as many as clients have requests under way, since a
/// resent one is dropped while the first waits.
pub(super) struct Waiting {
    what: What,
    answer: oneshot::Sender<Answer>,
}

/// What is asked of the writer.
enum What {
    /// To take tuples in.
    Produce {
        /// How many partitions the sender knows of.
        among: u16,
        partition: Partition,
        tuples: Vec<Tuple>,
    },
    /// To add partitions until there are so many.
    Add(u16),
}

/// An answer that waits for the sync: of which partition, for whom, and what.
type Ready = (usize, oneshot::Sender<Answer>, Answer);

impl<E: Env> State<E> {
    /// Has the writer take tuples; answers when they are durable.
    pub(super) async fn produce(
        &self,
        among: u16,
        partition: Partition,
        tuples: Vec<Tuple>,
    ) -> Answer {
        if let Some(elsewhere) = self.elsewhere(among) {
            return elsewhere;
        }
        if let Err(reason) = self.check(partition, &tuples) {
            return Answer::Invalid(reason);
        }
        self.wait(What::Produce { among, partition, tuples }).await
    }

    /// Has the writer add partitions until there are so many; answers when that is durable.
    pub(super) async fn order(&self, partitions: u16) -> Answer {
        self.wait(What::Add(partitions)).await
    }

    async fn wait(&self, what: What) -> Answer {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { what, answer };
        self.queue.unbounded_send(waiting).expect("the writer ends with the node only");
        answered.await.expect("the writer ends with the node only")
    }

    /// The answer to one who knows of so many partitions, if there are others.
    fn elsewhere(&self, among: u16) -> Option<Answer> {
        let layouts = self.layouts.borrow();
        (layouts.partitions() != among).then(|| Answer::Elsewhere(layouts.clone()))
    }

    fn check(&self, partition: Partition, tuples: &[Tuple]) -> Result<(), String> {
        let layouts = self.layouts.borrow();
        let partitions = layouts.partitions();
        if partition.0 >= partitions {
            return Err(format!("partition {partition} of {partitions}"));
        }
        if tuples.len() > PRODUCE_TUPLES_MAX {
            return Err(format!("{} tuples at once, over {PRODUCE_TUPLES_MAX}", tuples.len()));
        }
        let total: usize = tuples.iter().map(bytes).sum();
        if total > PRODUCE_BYTES_MAX {
            return Err(format!("{total} bytes of tuples at once, over {PRODUCE_BYTES_MAX}"));
        }
        let elsewhere =
            |tuple: &&Tuple| layouts.of(tuple.producer, tuple.seq, &tuple.key) != partition;
        if let Some(tuple) = tuples.iter().find(elsewhere) {
            return Err(format!(
                "the key of tuple {}/{} belongs to another partition than {partition}",
                tuple.producer, tuple.seq
            ));
        }
        match tuples.iter().find(|tuple| bytes(tuple) > TUPLE_BYTES_MAX) {
            Some(tuple) => Err(format!(
                "tuple {}/{} has {} bytes, over {TUPLE_BYTES_MAX}",
                tuple.producer,
                tuple.seq,
                bytes(tuple)
            )),
            None => Ok(()),
        }
    }

    /// The writer: one round after another, all that waits in each.
    pub(super) async fn write(&self, mut waiting: mpsc::UnboundedReceiver<Waiting>) -> Exit {
        let early = self.config.defects.has(Defect::AckBeforeSync);
        // An addition stands between two rounds.
        let mut held = None;
        loop {
            let first = match held.take() {
                Some(held) => held,
                None => match waiting.next().await {
                    Some(first) => first,
                    None => return Ok(()),
                },
            };
            if let What::Add(partitions) = first.what {
                let added = match self.add(partitions).await {
                    Err(Refusal { remedy: Remedy::Space, .. }) => Answer::NoSpace,
                    done => done?,
                };
                drop(first.answer.send(added));
                continue;
            }
            let mut round_bytes = size(&first);
            let mut round = vec![first];
            while round_bytes < PAGE_BYTES
                && let Ok(more) = waiting.try_recv()
            {
                if matches!(more.what, What::Add(_)) {
                    held = Some(more);
                    break;
                }
                round_bytes += size(&more);
                round.push(more);
            }
            let parts = self.all_parts();
            let mut touched = vec![Vec::new(); parts.len()];
            let mut answers = Vec::new();
            for Waiting { what, answer } in round {
                let What::Produce { among, partition, tuples } = what else { continue };
                // Partitions may have been added since it began to wait.
                if let Some(elsewhere) = self.elsewhere(among) {
                    drop(answer.send(elsewhere));
                    continue;
                }
                let place = usize::from(partition.0);
                let part = &mut *parts[place].lock().await;
                let new = |tuple| part.find(tuple) == Found::New;
                if part.is_full(self.config.source_bytes_max) && tuples.iter().any(new) {
                    self.env.mark("source.full");
                    drop(answer.send(Answer::NoSpace));
                    continue;
                }
                let placed = place_tuples(part, tuples, &mut touched[place]);
                answers.push((place, answer, placed));
            }
            for (place, tuples) in touched.iter_mut().enumerate().filter(|(_, new)| !new.is_empty())
            {
                let part = &mut *parts[place].lock().await;
                let tuples = std::mem::take(tuples);
                let ends = self.ends.borrow().clone();
                match part.append(&self.files, tuples, ends, self.config.segment_bytes).await {
                    Err(Refusal { remedy: Remedy::Space, .. }) => no_space(place, &mut answers),
                    done => done?,
                }
            }
            if early {
                self.publish().await;
                reply(answers.drain(..));
            }
            try_join_all(parts.iter().map(async |part| part.lock().await.sync().await)).await?;
            self.publish().await;
            reply(answers.into_iter());
        }
    }

    /// Moves the ends that readers see to all that was appended.
    async fn publish(&self) {
        for (place, part) in self.all_parts().iter().enumerate() {
            let end = part.lock().await.publish();
            self.ends.borrow_mut()[place] = end;
        }
    }
}

/// How many bytes of tuples a request has.
fn size(waiting: &Waiting) -> usize {
    match &waiting.what {
        What::Produce { tuples, .. } => tuples.iter().map(bytes).sum(),
        What::Add(_) => 0,
    }
}

fn bytes(tuple: &Tuple) -> usize {
    tuple.key.len() + tuple.value.len()
}

/// Gives tuples their offsets; the new ones are to be written.
fn place_tuples<E: Env>(part: &mut Part<E>, tuples: Vec<Tuple>, new: &mut Vec<Tuple>) -> Answer {
    let mut offsets = Vec::with_capacity(tuples.len());
    for tuple in tuples {
        match part.find(&tuple) {
            Found::At(offset) => offsets.push(Some(offset)),
            Found::Forgotten => offsets.push(None),
            Found::New => {
                offsets.push(Some(part.take_in(&tuple)));
                new.push(tuple);
            }
            Found::Skipped => {
                return Answer::Invalid(format!(
                    "tuple {}/{} comes after a later one; send them in the order of their seqs",
                    tuple.producer, tuple.seq
                ));
            }
        }
    }
    Answer::Produced(offsets)
}

/// A partition could not take anything in. An answer may also stand for tuples of another request
/// of the same round, so all of them are taken back.
fn no_space(place: usize, answers: &mut [Ready]) {
    for (_, _, answer) in answers.iter_mut().filter(|(part, ..)| *part == place) {
        *answer = Answer::NoSpace;
    }
}

fn reply(answers: impl Iterator<Item = Ready>) {
    for (_, waiting, answer) in answers {
        // Whoever asked may have given up.
        drop(waiting.send(answer));
    }
}
