// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// The code that every clone of a `DepositFactory` runs. The factory alone may call it, and all that
/// it can do is to send a token, or the native coin, to where the factory says: that is its hub's
/// treasury, or, for what is nobody's payment, where its recoverer says. It keeps no storage and
/// signs nothing.
contract DepositClone {
    address private immutable FACTORY;

    error NotFactory();
    error NothingToSend();
    error NotTransferred();

    constructor() {
        FACTORY = msg.sender;
    }

    /// Native coin is taken, but not from a `transfer` with its stipend of 2,300 gas nor from a
    /// wallet that sends with a limit of 21,000: asking the code behind a clone takes more. Before
    /// the clone is created, both arrive.
    receive() external payable {}

    /// Send so much of `token` (zero: the native coin). Exact amounts, so that coins which came later
    /// and are not cleared yet stay where they are. Tokens without return values are taken; one that
    /// answers false is an error.
    function send(address token, address to, uint256 amount) external returns (uint256) {
        if (msg.sender != FACTORY) revert NotFactory();
        if (amount == 0) revert NothingToSend();
        if (token == address(0)) {
            (bool sent,) = to.call{value: amount}("");
            if (!sent) revert NotTransferred();
            return amount;
        }
        (bool done, bytes memory answer) = token.call(abi.encodeCall(IToken.transfer, (to, amount)));
        // Nothing is an answer too, but not from an address without code.
        bool agreed = answer.length == 0 ? token.code.length != 0 : abi.decode(answer, (bool));
        if (!done || !agreed) revert NotTransferred();
        return amount;
    }
}

interface IToken {
    function transfer(address to, uint256 amount) external returns (bool);
}
