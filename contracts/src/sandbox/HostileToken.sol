// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ChannelConfig} from "./BatchSettlement.sol";

/// For tests: a token that turns against whoever moves it, each recipient in a way of its own.
contract HostileToken {
    enum Mode {
        honest,
        reverts,
        answersFalse,
        movesAndAnswersFalse,
        burnsGas,
        revertsWithoutEnd,
        answersWithoutEnd,
        liesThatItMoved,
        callsBack
    }

    string public constant name = "Hostile";
    string public constant symbol = "HOST";
    uint8 public constant decimals = 6;
    uint256 public totalSupply;

    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    mapping(address => Mode) public modes;
    bytes private _callBack;

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    function mint(address to, uint256 value) external {
        totalSupply += value;
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function setMode(address recipient, Mode mode) external {
        modes[recipient] = mode;
    }

    /// What is called on the spender while a recipient of mode `callsBack` is paid.
    function setCallBack(bytes calldata data) external {
        _callBack = data;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        return _transfer(msg.sender, to, value);
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        allowance[from][msg.sender] -= value;
        return _transfer(from, to, value);
    }

    /// As an escrow's collector: brings what is asked for out of nothing, in the escrow's own mode.
    function collect(ChannelConfig calldata, bytes32, uint256 amount, bytes calldata) external {
        totalSupply += amount;
        balanceOf[address(this)] += amount;
        _transfer(address(this), msg.sender, amount);
    }

    function _transfer(address from, address to, uint256 value) private returns (bool) {
        Mode mode = modes[to];
        if (mode == Mode.reverts) {
            revert("HostileToken: a reason that is far longer than any sixty-four characters are");
        }
        if (mode == Mode.answersFalse) return false;
        if (mode == Mode.burnsGas) {
            while (true) {}
        }
        if (mode == Mode.revertsWithoutEnd) {
            assembly {
                revert(0, 30000)
            }
        }
        if (mode == Mode.liesThatItMoved) {
            emit Transfer(from, to, value);
            return true;
        }
        if (mode == Mode.callsBack) {
            (bool done,) = msg.sender.call(_callBack);
            require(done, "HostileToken: the call back failed");
        }
        balanceOf[from] -= value;
        balanceOf[to] += value;
        emit Transfer(from, to, value);
        if (mode == Mode.movesAndAnswersFalse) return false;
        if (mode == Mode.answersWithoutEnd) {
            assembly {
                mstore(0, 1)
                return(0, 30000)
            }
        }
        return true;
    }
}
