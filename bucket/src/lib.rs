//! The bucket itself: what there has to be before a lake can lie in it, and word of what is new there.
//!
//! Objects are read and written by way of `streamsync-lake`; this crate is for what an object store's
//! interface lacks. It speaks to AWS, and to what speaks like it: MinIO, Ceph, LocalStack.

mod clients;
mod create;
mod lifecycle;
mod notifications;
mod place;
mod queue;

pub use create::{CreateBucketError, Created, create};
pub use notifications::{Notifications, NotificationsError};
pub use place::{InvalidPlace, Place};
