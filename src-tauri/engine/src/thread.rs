//! The thread that owns the model.

use std::any::Any;
use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::conversation::{Conversation, Event, Turn};
use crate::error::{Error, Result};
use crate::listen::{Listen, Listened, Listener};
use crate::package::Package;

/// A resident model. Requests wait in a queue and are answered one after the other.
///
/// Captions do not wait: their questions are answered between two tokens of the answer in flight.
pub struct Engine {
    package: Arc<Package>,
    /// `None` only while the engine is being closed.
    queue: Option<Sender<Request>>,
    closing: Arc<AtomicBool>,
    known: Known,
    listening: Listening,
    thread: Option<JoinHandle<()>>,
}

/// The ids of the conversations that the thread has.
type Known = Arc<Mutex<HashSet<String>>>;

/// Questions that captions ask.
type Listening = Arc<Mutex<VecDeque<Sound>>>;

struct Sound {
    listen: Listen,
    reply: Sender<Result<Listened>>,
}

enum Request {
    Ask(Box<Question>),
    /// There is something to listen to.
    Wake,
    /// The conversation is over.
    Forget(String),
}

struct Question {
    conversation: String,
    turn: Turn,
    events: Sender<Result<Event>>,
    stop: Arc<AtomicBool>,
}

/// The events of one answer, as they come. Dropping it stops the answer at the next token.
pub struct Answer {
    events: Receiver<Result<Event>>,
    stop: Arc<AtomicBool>,
}

impl Answer {
    /// Ends the answer at the next token; its report still comes.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Iterator for Answer {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.events.recv().ok()
    }
}

impl Engine {
    pub fn new(package: Package) -> Self {
        let package = Arc::new(package);
        let (queue, requests) = channel();
        let closing = Arc::new(AtomicBool::new(false));
        let (owned, stop) = (Arc::clone(&package), Arc::clone(&closing));
        let known = Known::default();
        let conversations = Arc::clone(&known);
        let listening = Listening::default();
        let mut ears = Ears {
            package: Arc::clone(&package),
            listening: Arc::clone(&listening),
            listener: Listener::default(),
            closing: Arc::clone(&closing),
        };
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || run(&owned, &requests, &stop, &conversations, &mut ears))
            .expect("the system gives a thread");
        Self {
            package,
            queue: Some(queue),
            closing,
            known,
            listening,
            thread: Some(thread),
        }
    }

    pub fn package(&self) -> &Package {
        &self.package
    }

    /// Whether the engine remembers a conversation, so that its history need not be told.
    ///
    /// Certain once the conversation's last answer has ended.
    pub fn knows(&self, conversation: &str) -> bool {
        let known = lock(&self.known);
        known.contains(conversation)
    }

    /// Ends the answer in flight and refuses new ones. The memory is free when the last owner has let go.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Puts a turn of a conversation in the queue. The first turn of an unknown id begins one.
    pub fn ask(&self, conversation: &str, turn: Turn) -> Answer {
        let (events, answer) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let question = Question {
            conversation: conversation.to_owned(),
            turn,
            events,
            stop: Arc::clone(&stop),
        };
        if let Some(queue) = &self.queue
            && let Err(SendError(Request::Ask(unsent))) =
                queue.send(Request::Ask(Box::new(question)))
        {
            // The receiver is in our hands, so this cannot fail.
            let _ = unsent.events.send(Err(Error::Closed));
        }
        Answer {
            events: answer,
            stop,
        }
    }

    /// Answers a question outside of any conversation. Blocks until it is answered, but for no longer than a token
    /// of the answer in flight and the questions of other listeners take.
    pub fn listen(&self, listen: Listen) -> Result<Listened> {
        let (reply, answer) = channel();
        lock(&self.listening).push_back(Sound { listen, reply });
        let woken = self.queue.as_ref().map(|queue| queue.send(Request::Wake));
        match woken {
            Some(Ok(())) => answer.recv().unwrap_or(Err(Error::Closed)),
            _ => Err(Error::Closed),
        }
    }

    /// Frees what a conversation holds, once the requests before this one are answered.
    pub fn forget(&self, conversation: &str) {
        if let Some(queue) = &self.queue {
            // A thread that has ended holds nothing any more.
            let _ = queue.send(Request::Forget(conversation.to_owned()));
        }
    }
}

impl Drop for Engine {
    /// Stops the answer in flight and waits for the thread, so that the memory is free afterwards.
    fn drop(&mut self) {
        self.close();
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // Its panics are caught and reported per request; nothing is left to say here.
            let _ = thread.join();
        }
    }
}

/// What the engine's thread has for listening.
struct Ears {
    package: Arc<Package>,
    listening: Listening,
    listener: Listener,
    closing: Arc<AtomicBool>,
}

impl Ears {
    /// Answers all that was asked so far.
    fn listen(&mut self) {
        loop {
            // In a statement of its own, so that others can ask meanwhile.
            let next = lock(&self.listening).pop_front();
            let Some(Sound { listen, reply }) = next else {
                return;
            };
            let closing = &self.closing;
            let listener = &mut self.listener;
            let answered = catch_unwind(AssertUnwindSafe(|| {
                let mut goes_on = || !closing.load(Ordering::Relaxed);
                listener.listen(&self.package, &listen, &mut goes_on)
            }));
            let answer = match answered {
                Ok(Err(Error::Cancelled)) => Err(Error::Closed),
                Ok(answer) => answer,
                Err(panic) => {
                    self.listener = Listener::default();
                    Err(Error::Panicked(panic_message(panic.as_ref())))
                }
            };
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
    }
}

fn run(
    package: &Package,
    requests: &Receiver<Request>,
    closing: &AtomicBool,
    known: &Known,
    ears: &mut Ears,
) {
    let mut conversations: HashMap<String, Conversation> = HashMap::new();
    while let Ok(request) = requests.recv() {
        ears.listen();
        let question = match request {
            Request::Wake => continue,
            Request::Ask(question) => question,
            Request::Forget(id) => {
                conversations.remove(&id);
                lock(known).remove(&id);
                continue;
            }
        };
        let Question {
            conversation: id,
            turn,
            events,
            stop,
        } = *question;
        if closing.load(Ordering::Relaxed) {
            let _ = events.send(Err(Error::Closed));
            continue;
        }
        // Only the conversation at hand keeps its cache; the others are computed again when they go on.
        for (other, conversation) in &mut conversations {
            if *other != id {
                conversation.put_down();
            }
        }
        let mut conversation = conversations.remove(&id).unwrap_or_default();
        let mut on = |event| {
            let heard = events.send(Ok(event)).is_ok();
            ears.listen();
            heard && !stop.load(Ordering::Relaxed) && !closing.load(Ordering::Relaxed)
        };
        let answered = catch_unwind(AssertUnwindSafe(|| {
            conversation.answer(package, &turn, &mut on)
        }));
        let mut now = id.clone();
        let failure = match answered {
            Ok(Ok(_)) => {
                now = turn.then.unwrap_or(now);
                None
            }
            Ok(Err(Error::Cancelled)) => None,
            Ok(Err(error)) => Some(error),
            Err(panic) => {
                conversation.put_down();
                Some(Error::Panicked(panic_message(panic.as_ref())))
            }
        };
        let mut known = lock(known);
        known.remove(&id);
        if !conversation.is_empty() {
            known.insert(now.clone());
            conversations.insert(now, conversation);
        }
        drop(known);
        if let Some(failure) = failure {
            // Nobody listens any more when the window was closed.
            let _ = events.send(Err(failure));
        }
    }
}

/// What is in there is whole at any time, so a panic elsewhere does not matter.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
