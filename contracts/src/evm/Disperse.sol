// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// Many payments of one token in one transaction. Each is pulled from the caller and from nobody
/// else, straight to its recipient: this contract holds nothing, owns nothing, remembers nothing and
/// obeys nobody, so an allowance given to it is of use to its giver alone.
///
/// A payment that fails stops no other. It fails when the token reverts, answers false, or wants more
/// than PAYMENT_GAS_MAX: then `Failed` names it with the token's own words. A payment that succeeds
/// is told by the token's Transfer alone.
contract Disperse {
    /// The most gas that the token may use for one payment, four times what the dearest of the
    /// large stablecoins takes: a token or recipient that burns gas takes no more than this.
    uint256 public constant PAYMENT_GAS_MAX = 200_000;

    /// A call may hand on 63 of 64 parts of the gas that is left (EIP-150); what a `Failed` and a
    /// `Stopped` cost stands beside.
    uint256 private constant GAS_BEFORE_PAYMENT = (PAYMENT_GAS_MAX * 64) / 63 + 20_000;

    /// Enough for Error(string) with 64 characters; a longer answer is cut off, never copied whole.
    uint256 private constant REASON_BYTES_MAX = 132;

    /// Payment `index` (from 0) of a call by `from` moved nothing; `reason` is what the token
    /// answered, its first bytes. The caller's address makes it impossible for a recipient that is
    /// called back to tell of failures in another's name.
    event Failed(address indexed from, uint256 index, bytes reason);

    /// Payment `index` of a call by `from` and all after it were not tried: the gas was used up.
    event Stopped(address indexed from, uint256 index);

    /// No contract stands at the token's address, where every call would seem to succeed.
    error NoToken();

    /// Pay `payments` of `token` from the caller, who has approved this contract. A payment is one
    /// word: the recipient's address in its upper 160 bits, atomic units in its lower 96.
    function disperse(address token, bytes32[] calldata payments) external {
        if (token.code.length == 0) revert NoToken();
        bytes memory call_ = abi.encodeCall(IToken.transferFrom, (msg.sender, address(0), 0));
        for (uint256 index = 0; index < payments.length; ++index) {
            if (gasleft() < GAS_BEFORE_PAYMENT) {
                emit Stopped(msg.sender, index);
                return;
            }
            if (!_pay(token, call_, payments[index])) emit Failed(msg.sender, index, _reason());
        }
    }

    /// Call the token. Nothing of its answer is copied but one word: an answer without end costs
    /// what the token itself pays for.
    function _pay(address token, bytes memory call_, bytes32 payment) private returns (bool paid) {
        assembly ("memory-safe") {
            // After the length: selector, sender, and then the recipient and the units.
            mstore(add(call_, 0x44), shr(96, payment))
            mstore(add(call_, 0x64), and(payment, 0xffffffffffffffffffffffff))
            paid := call(PAYMENT_GAS_MAX, token, 0, add(call_, 0x20), 0x64, 0, 0x20)
            // Some tokens answer nothing (USDT), the others true or false.
            if returndatasize() {
                paid := and(paid, and(gt(returndatasize(), 0x1f), eq(mload(0), 1)))
            }
        }
    }

    /// The first bytes of the answer to the call before.
    function _reason() private pure returns (bytes memory reason) {
        assembly ("memory-safe") {
            let size := returndatasize()
            if gt(size, REASON_BYTES_MAX) { size := REASON_BYTES_MAX }
            reason := mload(0x40)
            mstore(reason, size)
            returndatacopy(add(reason, 0x20), 0, size)
            mstore(0x40, add(reason, 0xc0))
        }
    }
}

interface IToken {
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}
