//! Connections that receive the same messages.

mod member;
mod member_id;
mod members;
mod session_member;
mod slow;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use everwire_proto::{Cause, PreparedMessage};

use self::{
    member::{Member, Taken},
    members::{Members, Seat},
    session_member::SessionMember,
};
pub use self::{member_id::MemberId, slow::SlowPolicy};
use crate::{
    Sender,
    session::{SessionCast, SessionSender},
    shared::{Cast, Wakes},
};

/// Connections and sessions that receive the same messages, on whatever threads, runtimes and servers
/// they live. Cheap to clone.
///
/// A message is encoded once, compressed at most once for each size of window that was agreed upon,
/// and shared by all members. Broadcasting waits for nobody: what becomes of a message for a member
/// whose send queue is full says the [`SlowPolicy`]. What is broadcast before a member had its turn
/// leaves in one write.
///
/// All members receive the messages of a group in the same order, and each of them in order with what
/// else its [`Sender`]s send. Members leave by themselves when they end; a group keeps no connection
/// open and no session alive. Members of a group whose last clone is dropped leave it.
///
/// A [session](crate::session) is a member as long as it lives, whether or not it has a connection:
/// what is broadcast meanwhile waits for its client. All sessions of one
/// [`Sessions`](crate::session::Sessions) keep one copy of a message, and a reference each.
///
/// # Examples
/// A chat room:
/// ```
/// use everwire::{Conn, Group, Handler, Message, PreparedMessage, Server};
///
/// struct Member(Group);
///
/// impl Handler for Member {
///     fn on_open(&mut self, conn: &mut Conn<'_>) {
///         self.0.join(&conn.sender());
///     }
///
///     fn on_message(&mut self, _: &mut Conn<'_>, message: Message<'_>) {
///         self.0.broadcast(&PreparedMessage::new(message));
///     }
/// }
///
/// let room = Group::default();
/// let server = Server::builder().push("/room", move |_| Member(room.clone()));
/// ```
/// The same room for sessions, whose members miss nothing while they change trains:
/// ```
/// use everwire::{
///     Group, Message, PreparedMessage,
///     session::{SessionHandler, SessionMessage, SessionSender, Sessions},
/// };
///
/// struct Member(Group);
///
/// impl SessionHandler for Member {
///     fn on_session(&mut self, session: &SessionSender) {
///         self.0.join_session(session);
///     }
///
///     fn on_message(&mut self, session: &SessionSender, message: SessionMessage) {
///         if let Some(text) = message.as_text() {
///             self.0.broadcast_except(session.id(), &PreparedMessage::new(text));
///         }
///     }
/// }
///
/// let room = Group::default();
/// let sessions = Sessions::builder().push(move |_| Member(room.clone()));
/// ```
#[derive(Clone, Default)]
pub struct Group(Arc<Inner>);

#[derive(Default)]
struct Inner {
    slow: SlowPolicy,
    members: Mutex<Members>,
    /// Messages that members were not sent because they were slow.
    dropped: Arc<AtomicU64>,
}

/// What became of a message that was broadcast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broadcast {
    /// For how many members it was queued.
    pub queued: usize,
    /// How many had no room for it, and were treated as the [`SlowPolicy`] says. Sessions whose clients
    /// take no message of this size count here, and miss it.
    pub slow: usize,
}

impl Group {
    /// Returns a group without members that treats slow ones like this.
    #[must_use]
    pub fn new(slow: SlowPolicy) -> Self {
        Self(Arc::new(Inner { slow, ..Inner::default() }))
    }

    /// Takes a connection in, until it [leaves](Self::leave) or ends. Returns whether it was: not if
    /// it is a member already, or closing has begun.
    ///
    /// The group does not count as a handle of the connection.
    pub fn join(&self, member: &Sender) -> bool {
        let shared = member.shared();
        let mut members = self.lock();
        if members.contains(shared.id.into()) {
            return false;
        }
        let member = Member::new(shared, &self.0);
        // It is told of an end that comes from here on, and waits for the lock that is held.
        if !member.watch(shared) {
            return false;
        }
        members.insert(Seat::Connection(shared.clone(), member));
        true
    }

    /// Takes a session in, attached or not, until it [leaves](Self::leave) or ends. Returns whether it
    /// was: not if it is a member already, or has ended.
    pub fn join_session(&self, member: &SessionSender) -> bool {
        let live = member.live();
        let mut members = self.lock();
        if members.contains(live.id().into()) {
            return false;
        }
        let member = SessionMember::new(live, &self.0);
        if !member.watch(live) {
            return false;
        }
        members.insert(Seat::Session(live.clone(), member));
        true
    }

    /// Lets a member go, by the id of its connection or session. Returns whether it was one. What was
    /// queued for it is still sent.
    pub fn leave(&self, id: impl Into<MemberId>) -> bool {
        let left = self.lock().remove(id.into());
        if let Some(seat) = &left {
            seat.leave();
        }
        left.is_some()
    }

    /// Queues a message for every member, waiting for nobody.
    pub fn broadcast(&self, message: &PreparedMessage) -> Broadcast {
        self.send(message, None)
    }

    /// Queues a message for every member but this one, such as the one who said it.
    pub fn broadcast_except(
        &self,
        except: impl Into<MemberId>,
        message: &PreparedMessage,
    ) -> Broadcast {
        self.send(message, Some(except.into()))
    }

    /// Returns whether a connection or a session is a member.
    #[must_use]
    pub fn contains(&self, id: impl Into<MemberId>) -> bool {
        self.lock().contains(id.into())
    }

    /// Returns how many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many messages were not sent to a member because it was slow, each counted for each
    /// member.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    fn send(&self, message: &PreparedMessage, except: Option<MemberId>) -> Broadcast {
        let (mut done, mut wakes) = (Broadcast::default(), Wakes::default());
        let (mut gone, slow) = (Vec::new(), &self.0.slow);
        // One lock gives the messages one order, the same for everybody.
        let mut members = self.lock();
        let mut cast = Cast::new(message, &members.last_cast);
        let mut session_cast = SessionCast::new(message);
        for seat in members.iter().filter(|seat| except.is_none_or(|id| seat.id() != id)) {
            let taken = match seat {
                Seat::Connection(shared, member) => {
                    member.offer(shared, &mut cast, slow, &mut wakes)
                }
                Seat::Session(live, member) => {
                    member.offer(live, &mut session_cast, slow, &mut wakes)
                }
            };
            match taken {
                Taken::Queued => done.queued += 1,
                Taken::Slow => done.slow += 1,
                Taken::TooSlow => {
                    done.slow += 1;
                    gone.push(seat.clone());
                }
                Taken::Closing => {}
            }
        }
        members.last_cast = cast.end();
        gone.iter().for_each(|seat| drop(members.remove(seat.id())));
        drop(members);
        // No lock is held while others are woken: what that runs is not ours.
        wakes.wake();
        session_cast.finish();
        for seat in gone {
            seat.leave();
            if let (Seat::Connection(shared, _), SlowPolicy::Disconnect(frame)) = (&seat, slow) {
                shared.close(Cause::SlowConsumer, frame.clone());
            }
        }
        done
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.0.lock()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("members", &self.len())
            .field("slow", &self.0.slow)
            .field("dropped", &self.dropped())
            .finish()
    }
}
