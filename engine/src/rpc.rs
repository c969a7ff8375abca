//! Requests and answers over datagrams, written once: resent until answered, checked, matched.
//!
//! A request may be carried out more than once, so every handler is idempotent; a copy that comes
//! while the first is still being carried out is dropped, since its answer is on the way.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    pin::pin,
    rc::Rc,
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use unplug_sim::env::{Address, Env, Exit, Net, NodeId, Port, Refusal, Socket};

use crate::codec::{self, Kind};

/// The port that every node of the engine listens on.
pub const PORT: Port = Port(1);

/// The first wait for an answer; it doubles with each resend…
const RESEND_FIRST: Duration = Duration::from_millis(20);

/// …so often at the most. What is large waits longer from the start, and has to double as well: if it
/// were sent again and again while it waits in line, the line would only grow.
const RESEND_DOUBLINGS: u32 = 4;

/// Nobody answered in time. The request may have been carried out, or may still be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} did not answer in time")]
pub struct Unanswered(pub NodeId);

/// What a datagram begins with; the request or the answer itself follows.
#[derive(Serialize, Deserialize)]
enum Head {
    Request {
        id: u64,
    },
    /// Nobody waits for an answer.
    Notice,
    Answer {
        id: u64,
    },
    /// The sender was started: it knows nothing of what it was asked before.
    Started,
}

/// A call that waits for its answer.
struct Waiting {
    to: NodeId,
    payload: Bytes,
    answer: oneshot::Sender<Bytes>,
}

/// What a handler makes of a request.
#[derive(Debug)]
pub enum Handling<R, F> {
    /// It is done already, and this came of it.
    Done(Result<R, Refusal>),
    /// It takes its time: a task of its own carries it out.
    Work(F),
}

/// Takes a datagram apart; none if it was damaged on the way.
fn open(mut payload: Bytes) -> Option<(Head, Bytes)> {
    let message = codec::check(Kind::Datagram, &payload).ok()?;
    let (head, body) = postcard::take_from_bytes::<Head>(message).ok()?;
    payload.advance(payload.len() - body.len());
    Some((head, payload))
}

/// A node's end of all its conversations. Clones share it.
pub struct Rpc<E: Env> {
    shared: Rc<Shared<E>>,
    /// The first wait for an answer; it doubles with each resend.
    resend_first: Duration,
}

struct Shared<E: Env> {
    env: E,
    socket: <E::Net as Net>::Socket,
    waiting: RefCell<BTreeMap<u64, Waiting>>,
    serving: RefCell<BTreeSet<(Address, u64)>>,
    /// By way of which datagrams are encoded.
    buffer: RefCell<Vec<u8>>,
}

impl<E: Env> Rpc<E> {
    /// Opens the engine's port of a node.
    ///
    /// # Errors
    /// If something else holds the port.
    pub fn open(env: &E) -> Result<Self, Refusal> {
        let socket = env.net().bind(PORT).map_err(|error| {
            Refusal::new(format!(
                "port {}: {error}; is another process of this node running?",
                PORT.0
            ))
        })?;
        let (waiting, serving, buffer) = Default::default();
        let shared = Shared { env: env.clone(), socket, waiting, serving, buffer };
        Ok(Self { shared: Rc::new(shared), resend_first: RESEND_FIRST })
    }

    /// The same end, which waits for so much longer before it first sends something again: for what is
    /// large, and would be behind itself on the way.
    #[must_use]
    pub fn waiting_longer(&self, by: Duration) -> Self {
        Self { shared: Rc::clone(&self.shared), resend_first: self.resend_first + by }
    }

    /// Answers requests with `handler` until one of them fails; this is a server's main loop. It
    /// also hands answers to waiting calls, so a node that only calls runs it too.
    ///
    /// # Errors
    /// The first refusal of a handler: the node must not go on.
    pub async fn serve<Q, R, F>(self, handler: impl Fn(Q) -> F + 'static) -> Exit
    where
        Q: DeserializeOwned,
        R: Serialize,
        F: Future<Output = Result<R, Refusal>> + 'static,
    {
        self.serve_from(move |_, request| Handling::Work(handler(request))).await
    }

    /// [`Rpc::serve`], with a handler that is told who asks, and need not start a task for what
    /// takes no time.
    ///
    /// # Errors
    /// As [`Rpc::serve`].
    pub async fn serve_from<Q, R, F>(
        self,
        handler: impl Fn(NodeId, Q) -> Handling<R, F> + 'static,
    ) -> Exit
    where
        Q: DeserializeOwned,
        R: Serialize,
        F: Future<Output = Result<R, Refusal>> + 'static,
    {
        let (failed, mut failure) = oneshot::channel();
        let failed = Rc::new(RefCell::new(Some(failed)));
        loop {
            let datagram = match select(pin!(self.shared.socket.recv()), &mut failure).await {
                Either::Left((datagram, _)) => datagram,
                Either::Right((Ok(refusal), _)) => return Err(refusal),
                Either::Right((Err(_), _)) => unreachable!("this loop holds a sender"),
            };
            let from = datagram.from;
            let (asked, body) = match open(datagram.payload) {
                Some((Head::Answer { id }, body)) => {
                    self.shared.answered(id, body);
                    continue;
                }
                Some((Head::Request { id }, body)) => (Some((from, id)), body),
                Some((Head::Notice, body)) => (None, body),
                Some((Head::Started, _)) => {
                    self.shared.ask_again(from.node);
                    continue;
                }
                // The sender will repeat it.
                None => continue,
            };
            let Ok(request) = postcard::from_bytes(&body) else { continue };
            if asked.is_some_and(|asked| self.shared.serving.borrow().contains(&asked)) {
                continue;
            }
            let work = match handler(from.node, request) {
                Handling::Done(done) => {
                    self.shared.answer(asked, &done?);
                    continue;
                }
                Handling::Work(work) => work,
            };
            self.shared.serving.borrow_mut().extend(asked);
            let (shared, failed) = (Rc::clone(&self.shared), Rc::clone(&failed));
            self.shared.env.spawn("handler", async move {
                match work.await {
                    Ok(answer) => shared.answer(asked, &answer),
                    Err(refusal) => {
                        if let Some(failed) = failed.borrow_mut().take() {
                            // The loop may be gone already, with an earlier refusal.
                            drop(failed.send(refusal));
                        }
                    }
                }
                if let Some(asked) = asked {
                    shared.serving.borrow_mut().remove(&asked);
                }
            });
        }
    }

    /// Sends `request` to a node until it answers, for `patience` at the longest.
    ///
    /// # Errors
    /// [`Unanswered`].
    ///
    /// # Panics
    /// If the request is larger than a datagram: all requests and answers are bounded below that.
    pub async fn call<Q: Serialize, R: DeserializeOwned>(
        &self,
        to: NodeId,
        request: &Q,
        patience: Duration,
    ) -> Result<R, Unanswered> {
        let shared = &self.shared;
        let id = shared.env.random();
        let payload = shared.encode(Head::Request { id }, request);
        let (answer, mut receiver) = oneshot::channel();
        shared.waiting.borrow_mut().insert(id, Waiting { to, payload: payload.clone(), answer });
        let _forget = Forget { shared, id };
        let deadline = shared.env.now() + patience;
        let mut wait = self.resend_first;
        let longest = self.resend_first * (1 << RESEND_DOUBLINGS);
        loop {
            let now = shared.env.now();
            if now >= deadline {
                return Err(Unanswered(to));
            }
            shared.send(to, payload.clone());
            let pause = shared.env.sleep_until((now + wait).min(deadline));
            match select(&mut receiver, pin!(pause)).await {
                Either::Left((Ok(body), _)) => {
                    // A sound datagram that does not decode is of another build: never answered.
                    return postcard::from_bytes(&body).map_err(|_| Unanswered(to));
                }
                Either::Left((Err(_), _)) => unreachable!("the sender waits in the map"),
                Either::Right(((), _)) => wait = (wait * 2).min(longest),
            }
        }
    }

    /// Sends something once to some nodes and waits for nothing: it may be lost.
    ///
    /// # Panics
    /// As [`Rpc::call`].
    pub fn tell<'a, Q: Serialize>(&self, to: impl IntoIterator<Item = &'a NodeId>, notice: &Q) {
        let payload = self.shared.encode(Head::Notice, notice);
        to.into_iter().for_each(|node| self.shared.send(*node, payload.clone()));
    }

    /// Tells some nodes, once, that this one was started, so that they ask at once what they have
    /// asked in vain; they would in time.
    ///
    /// # Panics
    /// Never: the notice is small.
    pub fn tell_started<'a>(&self, to: impl IntoIterator<Item = &'a NodeId>) {
        let payload = self.shared.encode(Head::Started, &());
        to.into_iter().for_each(|node| self.shared.send(*node, payload.clone()));
    }

    /// [`Rpc::call`], without end: for what a node cannot go on without.
    ///
    /// # Panics
    /// As [`Rpc::call`].
    pub async fn insist<Q: Serialize, R: DeserializeOwned>(&self, to: NodeId, request: &Q) -> R {
        loop {
            if let Ok(answer) = self.call(to, request, Duration::from_secs(3600)).await {
                return answer;
            }
        }
    }
}

impl<E: Env> Shared<E> {
    fn answered(&self, id: u64, body: Bytes) {
        if let Some(waiting) = self.waiting.borrow_mut().remove(&id) {
            // The call may have been given up just now.
            drop(waiting.answer.send(body));
        }
    }

    /// Sends all that waits for an answer of a node once more.
    fn ask_again(&self, node: NodeId) {
        let waiting = self.waiting.borrow();
        let of_it = waiting.values().filter(|waiting| waiting.to == node);
        of_it.for_each(|waiting| self.send(node, waiting.payload.clone()));
    }

    /// Answers who asked; a notice has no answer.
    fn answer<R: Serialize>(&self, asked: Option<(Address, u64)>, answer: &R) {
        if let Some((to, id)) = asked {
            self.send(to.node, self.encode(Head::Answer { id }, answer));
        }
    }

    fn encode<T: Serialize>(&self, head: Head, body: &T) -> Bytes {
        codec::encode_by(&mut self.buffer.borrow_mut(), Kind::Datagram, &(head, body))
    }

    fn send(&self, to: NodeId, payload: Bytes) {
        self.socket
            .send(Address { node: to, port: PORT }, payload)
            .expect("pages and blobs are bounded below a datagram's limit");
    }
}

/// Forgets a call that was answered, given up or dropped.
struct Forget<'a, E: Env> {
    shared: &'a Shared<E>,
    id: u64,
}

impl<E: Env> Drop for Forget<'_, E> {
    fn drop(&mut self) {
        self.shared.waiting.borrow_mut().remove(&self.id);
    }
}

impl<E: Env> Clone for Rpc<E> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared), resend_first: self.resend_first }
    }
}

impl<E: Env> fmt::Debug for Rpc<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc").field("node", &self.shared.env.node()).finish_non_exhaustive()
    }
}
