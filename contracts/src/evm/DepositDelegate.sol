// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// The code of a deposit address: an EIP-7702 delegation of its key, or an EIP-1167 clone where a
/// chain has no EIP-7702. Only the hub may call it, and all that it can do is to send the whole
/// balance of one token, or of the native coin, to where the hub says: the hub's own code says its
/// treasury and nothing else. It keeps no storage and signs nothing (no ERC-1271), so that a
/// delegated address has no state that a later delegation could misread.
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

    /// Send the whole balance of `token` (zero: the native coin) to `treasury`; the amount sent.
    /// Tokens without return values are taken; a token that answers false, or nothing to send, is
    /// an error, so that the hub tells it.
    function collect(address token, address treasury) external returns (uint256 amount) {
        if (msg.sender != HUB) revert NotHub();
        if (token == address(0)) {
            amount = address(this).balance;
            if (amount == 0) revert NothingToCollect();
            (bool sent,) = treasury.call{value: amount}("");
            if (!sent) revert NotTransferred();
            return amount;
        }
        amount = IToken(token).balanceOf(address(this));
        if (amount == 0) revert NothingToCollect();
        (bool done, bytes memory answer) = token.call(
            abi.encodeCall(IToken.transfer, (treasury, amount))
        );
        if (!done || (answer.length != 0 && !abi.decode(answer, (bool)))) revert NotTransferred();
    }
}

interface IToken {
    function balanceOf(address holder) external view returns (uint256);

    function transfer(address to, uint256 amount) external returns (bool);
}
