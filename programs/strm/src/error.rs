//! Why the program refuses.

use anchor_lang::prelude::*;

/// Why the program refuses.
#[error_code]
pub enum StrmError {
    /// Somebody stopped the network.
    #[msg("the network is paused")]
    Paused,
    /// Shares that are not a whole.
    #[msg("the shares do not sum to 10,000 hundredths of a percent")]
    Shares,
    /// A term outside of what is sensible.
    #[msg("a term of the network is out of its bounds")]
    Terms,
    /// A mint whose tokens can be taken, held or taxed by others.
    #[msg("the mint has an extension by which others can take, hold or tax its tokens")]
    MintExtension,
    /// Nothing to move.
    #[msg("the amount is zero")]
    ZeroAmount,
    /// A sum that no token amount can be.
    #[msg("an amount is larger than can be counted")]
    Overflow,
    /// More than there is.
    #[msg("the amount is more than there is")]
    Insufficient,
    /// Too early to withdraw.
    #[msg("the stake can only be withdrawn once the cooldown is over")]
    Cooldown,
    /// More than one event may cost.
    #[msg("the amount is more than one event may cost")]
    SlashTooLarge,
    /// A batch out of turn.
    #[msg("the batch is not the one after the last batch")]
    BatchOutOfOrder,
    /// Receipts that are left out or settled twice.
    #[msg("the receipts are not the ones after the last settled receipt")]
    ReceiptsOutOfOrder,
    /// A batch that contradicts itself.
    #[msg("a batch has leaves if and only if it pays something")]
    EmptyBatch,
    /// Not what was settled.
    #[msg("the proof does not lead to the root of the batch")]
    Proof,
    /// Paid before.
    #[msg("it was claimed before")]
    AlreadyClaimed,
    /// No such leaf.
    #[msg("the batch has no leaf with this index")]
    NoSuchLeaf,
    /// Claims that do not fit together.
    #[msg("claims of one transaction have to be of one page of 8,192 leaves")]
    OtherPage,
    /// A claim without its account, or an account without a claim.
    #[msg("each claim needs the token account of its recipient, in the same order")]
    ClaimAccounts,
    /// A token account that is not the recipient's own.
    #[msg("the token account is not the associated one of the recipient")]
    NotAssociated,
    /// Too early to sweep.
    #[msg("a batch can be swept a year after it was settled")]
    TooEarlyToSweep,
    /// Too late to claim.
    #[msg("what was left of the batch has been swept")]
    Swept,
    /// Not yet swept.
    #[msg("the batch has not been swept yet")]
    NotSwept,
    /// Deposits of this mint are not taken.
    #[msg("deposits of this mint are not accepted")]
    MintNotAllowed,
    /// A rate that would make credit out of nothing, or change what STRM is worth in STRM.
    #[msg("the rate has a zero in it, or is not one to one for STRM")]
    Rate,
    /// Refunded already, or meanwhile.
    #[msg("the refunds of this deposit are not what the caller takes them for")]
    RefundedMeanwhile,
    /// The STRM in deposits belong to whoever has earned them.
    #[msg("deposits of STRM cannot be collected")]
    NotCollectable,
    /// Nobody was named.
    #[msg("there is no handover to this authority under way")]
    NoHandover,
}
