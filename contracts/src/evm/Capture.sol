// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// Many transfers with authorization (EIP-3009) of one token in one transaction. Each moves coins
/// from whom signed it to whom it names, whoever calls: this contract holds nothing, owns nothing,
/// remembers nothing and obeys nobody.
///
/// A transfer that fails stops no other. It fails when the token reverts or wants more than
/// TRANSFER_GAS_MAX: then `Failed` names it with the token's own words. One that succeeds is told by
/// the token's own events alone.
contract Capture {
    /// The most gas that the token may use for one transfer, twice what the dearest of the large
    /// stablecoins takes: a payer whose account is a contract that burns gas takes no more than this.
    uint256 public constant TRANSFER_GAS_MAX = 200_000;

    /// A call may hand on 63 of 64 parts of the gas that is left (EIP-150); what a `Failed` and a
    /// `Stopped` cost stands beside.
    uint256 private constant GAS_BEFORE_TRANSFER = (TRANSFER_GAS_MAX * 64) / 63 + 20_000;

    /// Enough for Error(string) with 64 characters; a longer answer is cut off, never copied whole.
    uint256 private constant REASON_BYTES_MAX = 132;

    uint256 private constant WORDS_EACH = 5;

    /// transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)
    bytes4 private constant TRANSFER = 0xe3ee160e;

    /// Transfer `index` (from 0) of a call by `from` moved nothing; `reason` is what the token
    /// answered, its first bytes. The caller's address makes it impossible for a contract that is
    /// called on the way to tell of failures in another's name.
    event Failed(address indexed from, uint256 index, bytes reason);

    /// Transfer `index` of a call by `from` and all after it were not tried: the gas was used up.
    event Stopped(address indexed from, uint256 index);

    /// No contract stands at the token's address, where every call would seem to succeed.
    error NoToken();

    /// The words are not five for each transfer.
    error Malformed();

    /// Carry out transfers of `token`. Each is five words: the payer's address in the upper 160 bits
    /// and atomic units in the lower 96; the recipient's address, validAfter and validBefore in 48
    /// bits each; the nonce; r; and s with the parity of the point in its highest bit (EIP-2098).
    function capture(address token, bytes32[] calldata words) external {
        if (token.code.length == 0) revert NoToken();
        if (words.length % WORDS_EACH != 0) revert Malformed();
        uint256 count = words.length / WORDS_EACH;
        bytes memory call_ = new bytes(4 + 9 * 32);
        for (uint256 index = 0; index < count; ++index) {
            if (gasleft() < GAS_BEFORE_TRANSFER) {
                emit Stopped(msg.sender, index);
                return;
            }
            if (!_transfer(token, call_, words, index * WORDS_EACH)) {
                emit Failed(msg.sender, index, _reason());
            }
        }
    }

    /// Call the token with the five words from `first` on, unpacked. Nothing of its answer is copied.
    function _transfer(address token, bytes memory call_, bytes32[] calldata words, uint256 first)
        private
        returns (bool done)
    {
        bytes4 selector = TRANSFER;
        assembly ("memory-safe") {
            let line := add(words.offset, shl(5, first))
            let data := add(call_, 0x20)
            let word := calldataload(line)
            mstore(data, selector)
            mstore(add(data, 0x04), shr(96, word))
            mstore(add(data, 0x44), and(word, 0xffffffffffffffffffffffff))
            word := calldataload(add(line, 0x20))
            mstore(add(data, 0x24), shr(96, word))
            mstore(add(data, 0x64), and(shr(48, word), 0xffffffffffff))
            mstore(add(data, 0x84), and(word, 0xffffffffffff))
            mstore(add(data, 0xa4), calldataload(add(line, 0x40)))
            word := calldataload(add(line, 0x80))
            mstore(add(data, 0xc4), add(27, shr(255, word)))
            mstore(add(data, 0xe4), calldataload(add(line, 0x60)))
            mstore(add(data, 0x104), shr(1, shl(1, word)))
            done := call(TRANSFER_GAS_MAX, token, 0, data, 0x124, 0, 0)
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
