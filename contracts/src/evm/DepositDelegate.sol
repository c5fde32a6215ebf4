// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// The code of a deposit address: an EIP-7702 delegation of its key, or an EIP-1167 clone where a
/// chain has no EIP-7702. Only the hub may call it, and all that it can do is to send a token, or the
/// native coin, to where the hub says: the hub's own code says its treasury and nothing else. It
/// keeps no storage and signs nothing (no ERC-1271), so that a delegated address has no state that a
/// later delegation could misread, and no signature of its key moves coins by `permit`.
contract DepositDelegate {
    address private immutable HUB;

    error NotHub();
    error NothingToCollect();
    error NotTransferred();

    constructor(address hub) {
        HUB = hub;
    }

    /// Native coin is taken with no more gas than the stipend of a `transfer`. A wallet that sends
    /// with a limit of 21,000 runs out of gas at any address that has code: this is why native coin
    /// has addresses of its own, which are never delegated.
    receive() external payable {}

    /// Send so much of `token` (zero: the native coin) to `treasury`; the largest number stands for
    /// the whole balance. Exact amounts, so that coins which came later and are not cleared yet stay
    /// where they are. Tokens without return values are taken; one that answers false is an error.
    function collect(address token, address treasury, uint256 amount) external returns (uint256) {
        if (msg.sender != HUB) revert NotHub();
        if (token == address(0)) {
            if (amount == type(uint256).max) amount = address(this).balance;
            if (amount == 0) revert NothingToCollect();
            (bool sent,) = treasury.call{value: amount}("");
            if (!sent) revert NotTransferred();
            return amount;
        }
        if (amount == type(uint256).max) amount = IToken(token).balanceOf(address(this));
        if (amount == 0) revert NothingToCollect();
        (bool done, bytes memory answer) = token.call(
            abi.encodeCall(IToken.transfer, (treasury, amount))
        );
        // Nothing is an answer too, but not from an address without code.
        bool agreed = answer.length == 0 ? token.code.length != 0 : abi.decode(answer, (bool));
        if (!done || !agreed) revert NotTransferred();
        return amount;
    }
}

interface IToken {
    function balanceOf(address holder) external view returns (uint256);

    function transfer(address to, uint256 amount) external returns (bool);
}
